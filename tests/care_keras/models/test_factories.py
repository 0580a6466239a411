import dataclasses
import functools
import inspect
import itertools

import h5py
import keras
import numpy as np
import pytest

from care_keras.models import (
    CARE_S0,
    CARE_S1,
    CARE_S2,
    CARE_Nano,
    CAREBackbone,
    CAREClassifier,
    build_model,
)
from tests.care_keras.helpers import TINY, infer, numpy_of, random_images, randomize_weights

tiny = functools.partial(build_model, TINY)


def randomized(model):
    randomize_weights(model)
    return model


def test_the_top_by_default():
    model = tiny()
    assert isinstance(model, CAREClassifier)
    assert (model.name, model.output_shape) == ("care_tiny", (None, 3))
    assert model.input_shape == (None, None, None, 3)
    assert model.preprocessing == TINY.preprocessing
    np.testing.assert_allclose(numpy_of(infer(model, random_images())).sum(axis=-1), 1.0, rtol=1e-5)


def test_options_of_the_top():
    model = tiny(classes=7, classifier_activation=None, name="mine", labels=tuple("abcdefg"))
    assert (model.name, model.classes, model.labels) == ("mine", 7, tuple("abcdefg"))
    assert model.classifier_activation is keras.activations.linear


def test_without_top_it_is_the_backbone():
    model = tiny(include_top=False)
    assert isinstance(model, CAREBackbone)
    assert model.name == "care_tiny"
    assert model.output_shape == (None, None, None, 48)
    assert list(model.pyramid_outputs) == ["P2", "P3"]


@pytest.mark.parametrize(("pooling", "function"), [("avg", np.mean), ("max", np.max)])
def test_pooling(pooling, function):
    model = randomized(tiny(include_top=False, pooling=pooling))
    features = randomized(tiny(include_top=False))
    images = random_images()
    expected = function(numpy_of(infer(features, images)), axis=(1, 2))
    np.testing.assert_allclose(numpy_of(infer(model, images)), expected, rtol=1e-4, atol=1e-5)
    assert model.name == "care_tiny"


@pytest.mark.parametrize("options", [{}, {"include_top": False, "pooling": "avg"}])
def test_dtype_policy(options):
    model = tiny(dtype="mixed_bfloat16", **options)
    # Logits alone are float32.
    expected = "bfloat16" if options else "float32"
    outputs = infer(model, random_images())
    assert keras.backend.standardize_dtype(outputs.dtype) == expected


def test_input_shape_and_drop_path():
    model = tiny(input_shape=(32, 48, 3), drop_path_rate=0.3, include_top=False)
    assert model.input_shape == (None, 32, 48, 3)
    assert model.output_shape == (None, 4, 6, 48)
    assert model.get_layer("stage2_block1").drop_path_rate == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("options", "received"),
    [
        ({"pooling": "sum"}, "pooling='sum'"),
        ({"weights": "imagenet"}, "weights='imagenet'"),
        ({"weights": "missing.keras"}, "weights='missing.keras'"),
        ({"input_shape": (32, 32)}, r"image_shape=\(32, 32\)"),
        ({"input_shape": (4, 32, 3)}, r"image_shape=\(4, 32, 3\)"),
        ({"classes": 0}, "classes=0"),
    ],
)
def test_errors(options, received):
    with pytest.raises(ValueError, match=rf"Received: {received}$"):
        tiny(**options)


def test_weights_of_a_saved_classifier(tmp_path):
    saved = randomized(tiny(drop_path_rate=0.1))
    path = tmp_path / "saved.keras"
    saved.save(path)
    images = random_images()

    np.testing.assert_allclose(
        numpy_of(infer(tiny(weights=path), images)), numpy_of(infer(saved, images)), atol=1e-6
    )
    features = numpy_of(infer(saved.backbone, images))
    for options in ({}, {"classes": 9}):
        backbone = tiny(include_top=False, weights=str(path), **options)
        np.testing.assert_allclose(numpy_of(infer(backbone, images)), features, atol=1e-6)
    pooled = tiny(include_top=False, pooling="avg", weights=path)
    np.testing.assert_allclose(
        numpy_of(infer(pooled, images)), features.mean(axis=(1, 2)), rtol=1e-4, atol=1e-5
    )


def test_weights_of_a_saved_backbone(tmp_path):
    saved = randomized(tiny(include_top=False))
    saved.save(tmp_path / "backbone.keras")
    images = random_images()
    loaded = tiny(include_top=False, weights=tmp_path / "backbone.keras")
    np.testing.assert_allclose(
        numpy_of(infer(loaded, images)), numpy_of(infer(saved, images)), atol=1e-6
    )
    with pytest.raises(ValueError, match=r"Received: classes=3, weights="):
        tiny(weights=tmp_path / "backbone.keras")


def test_weights_file_of_this_very_model(tmp_path):
    saved = randomized(tiny())
    saved.save_weights(tmp_path / "tiny.weights.h5")
    images = random_images()
    loaded = tiny(weights=tmp_path / "tiny.weights.h5")
    np.testing.assert_allclose(
        numpy_of(infer(loaded, images)), numpy_of(infer(saved, images)), atol=1e-6
    )


def test_a_weights_file_that_links_to_another(tmp_path):
    """Keras would read what the other file holds."""
    path = tmp_path / "tiny.weights.h5"
    tiny().save_weights(path)
    with h5py.File(path, "r+") as file:
        file["extra"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/secret")
    with pytest.raises(ValueError, match=r"the file is damaged\. Received: weights=") as error:
        tiny(weights=path)
    assert "has a link to elsewhere: '/extra'" in str(error.value.__cause__)


def other_classes(path):
    tiny(classes=9).save(path)


def other_architecture(path):
    build_model(dataclasses.replace(TINY, depths=(1, 2))).save(path)


def no_care_model(path):
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save(path)


def damaged(path):
    tiny().save(path)
    path.write_bytes(path.read_bytes()[:5000])


def damaged_inside(path):
    """A whole archive, but for a flipped byte in the middle of the weights."""
    tiny().save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


BAD_FILES = [other_architecture, no_care_model, damaged, damaged_inside]


@pytest.mark.parametrize(
    ("make_file", "include_top"),
    [(other_classes, True), *itertools.product(BAD_FILES, [True, False])],
)
def test_weights_that_do_not_fit(make_file, include_top, tmp_path):
    path = tmp_path / "other.keras"
    make_file(path)
    with pytest.raises(ValueError, match=r"Received: .*other\.keras'$"):
        tiny(weights=path, include_top=include_top)


@pytest.mark.parametrize("factory", [CARE_S1, CARE_S2, CARE_Nano])
def test_factories_share_one_signature(factory):
    names = list(inspect.signature(CARE_S0).parameters)
    assert list(inspect.signature(factory).parameters) == names
    assert factory.__doc__.startswith("CARE-")


def test_nano():
    model = CARE_Nano()
    assert model.name == "care_nano"
    assert model.output_shape == (None, 10)
    assert list(model.backbone.pyramid_outputs) == ["P1", "P2", "P3"]
    assert numpy_of(infer(model, random_images(1, 32, 32))).shape == (1, 10)
