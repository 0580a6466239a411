"""Weights of the authors by name; their checkpoints come from this machine, made by a rule."""

import pathlib

import keras
import numpy as np
import pytest

from care_keras.data.preprocessing import normalize
from care_keras.loading import load_any
from care_keras.models import (
    BASE_CONFIGS,
    CARE_S0,
    CONFIGS,
    CAREBackbone,
    build_model,
    factories,
    load_preset,
)
from care_keras.models.presets import PRESETS
from care_keras.weights.published import PUBLISHED
from tests.care_keras.helpers import numpy_of, random_images
from tests.care_keras.weights.conftest import state_dict, tiny, tiny_model, weights_rule  # noqa: F401
from tests.published_weights import TINY, fetch_from, name_tiny, saved
from tests.web_server import Answer

GOLDEN = pathlib.Path(__file__).parents[2] / "golden"


@pytest.fixture
def publish(server, tmp_path, monkeypatch):
    """Takes a state dict and the name of the file that it is fetched as."""
    fetch_from(monkeypatch, server.url, tmp_path)
    server.requests.clear()

    def publish(arrays, file):
        server.answers[f"/{file}"] = Answer(saved(arrays))

    return publish


@pytest.fixture
def published(tiny, publish, state_dict, monkeypatch):  # noqa: F811
    """The tiny config, of which weights are published under the name `imagenet`."""
    name_tiny(monkeypatch, tiny)
    publish(state_dict, TINY.file)
    return tiny


def values(model):
    return [keras.ops.convert_to_numpy(weight) for weight in model.weights]


def assert_same(ours, theirs):
    for one, other in zip(values(ours), values(theirs), strict=True):
        np.testing.assert_array_equal(one, other)


def test_s0_gives_the_published_implementation_s_numbers(
    publish,
    weights_rule,  # noqa: F811
    monkeypatch,
):
    # Random values take long to draw, and none is to be left.
    monkeypatch.setattr(
        keras.initializers.TruncatedNormal,
        "__call__",
        lambda self, shape, dtype=None: keras.ops.full(shape, np.nan, dtype),
    )
    golden = np.load(GOLDEN / "care_s0_192x256.npz")
    shapes = weights_rule.state_dict_shapes("s0")
    publish(weights_rule.make_state_dict(shapes, str(golden["salt"])), "CARETrans_S0.pth.tar")
    model = CARE_S0(weights="imagenet", classifier_activation=None)
    assert model.preprocessing.crop_ratio == 0.875
    assert model.preprocessing.mean == (0.485, 0.456, 0.406)
    logits = numpy_of(model(normalize(golden["images_uint8"][:1], model.preprocessing)))
    expected = golden["logits"][:1]
    assert np.abs(logits - expected).max() <= 1e-4 * max(1, np.abs(expected).max())


def test_a_model_and_its_parts(published, server):
    model = build_model(published, weights="imagenet")
    assert model.preprocessing == published.preprocessing and model.labels is None
    backbone = build_model(published, weights="imagenet", include_top=False)
    assert isinstance(backbone, CAREBackbone)
    assert_same(backbone, model.backbone)
    # Of a backbone alone any number of classes may be asked for, as in keras.applications.
    pooled = build_model(published, weights="imagenet", include_top=False, pooling="avg", classes=3)
    images = random_images(2, 40, 24)
    expected = numpy_of(backbone(images)).mean(axis=(1, 2))
    np.testing.assert_allclose(numpy_of(pooled(images)), expected, rtol=1e-4, atol=1e-5)
    assert_same(load_any(TINY.name), model)
    assert len(server.requests) == 1


def test_other_classes_are_refused_before_the_download(published, server):
    with pytest.raises(ValueError, match=r"`classes` should be 7\. Received: classes=10$"):
        build_model(published, weights="imagenet", classes=10)
    assert not server.requests
    assert build_model(published, weights="imagenet", classes=7).classes == 7


def test_a_damaged_file_in_the_cache(published):
    load_preset(TINY.name)
    path = PRESETS[TINY.name].file
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"damaged: remove the file, .* Received: .*\.keras$"):
        load_preset(TINY.name)


def test_where_there_are_none():
    with pytest.raises(ValueError, match="there are none by name for care_s0_sym. Received: "):
        build_model(CONFIGS["s0_sym"], weights="imagenet")
    with pytest.raises(ValueError, match=r"or one of \['imagenet'\] for care_s0\. Received: "):
        CARE_S0(weights="imagnet")


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_table_is_of_models_that_there_are(name):
    entry = PUBLISHED[name]
    config = BASE_CONFIGS[entry.arch]
    assert name == f"{config.name}_imagenet" and config.classes == 1000
    summary = getattr(factories, f"CARE_{entry.arch.upper()}").__doc__.splitlines()[0]
    assert f"published top-1 {entry.top1 * 100:.1f} %" in summary
