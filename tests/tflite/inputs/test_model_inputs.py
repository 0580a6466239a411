import dataclasses
import json

import keras
import numpy as np
import pytest

import care_keras
from care_keras.data.overrides import InputOverrides
from care_keras.data.preprocessing import normalize
from care_keras.litert.model import LiteRTModel
from care_keras.models import Preprocessing
from care_keras.models.ablations import CONFIGS
from care_keras.models.presets import BUNDLED
from tests.tflite.tiny_classifiers import PREPROCESSING, expected_scores, tiny_classifier
from tests.tflite.tiny_models import tiny_model
from tflite.inputs.model_inputs import (
    keras_model_input,
    read_model_input,
    read_model_inputs,
    read_sidecar,
)

GIVEN = InputOverrides(mean=PREPROCESSING.mean, std=PREPROCESSING.std)
LABELS = ["a", "b", "c", "d", "e", "f"]


@pytest.fixture
def write(tmp_path):
    """Writes a tiny classifier, and a description if there is one."""

    def write(kind, description=None):
        path = tmp_path / f"{kind}.tflite"
        path.write_bytes(tiny_classifier(kind))
        if description is not None:
            path.with_suffix(".json").write_text(json.dumps(description))
        return path

    return write


def description(kind="float", record=PREPROCESSING, **more):
    return {"input": {"kind": kind}, "preprocessing": record.to_dict(), **more}


def pixels_of(count, size=(8, 8)):
    generator = np.random.default_rng(1)
    return generator.integers(0, 256, (count, *size, 3)).astype(np.uint8)


def test_the_description_beside_a_file(write):
    found = read_model_input(write("float32", description(labels=LABELS)))
    assert found.kind == "float" and found.preprocessing == PREPROCESSING
    assert found.labels == tuple(LABELS)


def test_what_the_user_says_comes_first(write):
    path = write("float32", description())
    overrides = InputOverrides(
        (8, 8), mean=(0.1, 0.2, 0.3), interpolation="nearest", crop_ratio=0.5, fit="stretch"
    )
    assert read_model_input(path, overrides).preprocessing == dataclasses.replace(
        PREPROCESSING, mean=(0.1, 0.2, 0.3), interpolation="nearest", crop_ratio=0.5, fit="stretch"
    )


@pytest.mark.parametrize("overrides", [None, InputOverrides(mean=(0, 0, 0))])
def test_floats_that_nothing_describes(write, overrides):
    with pytest.raises(
        ValueError, match=r"no float32.json .*: give --mean and --std .*Received: /"
    ):
        read_model_input(write("float32"), overrides)


def test_a_file_without_description(write):
    found = read_model_input(write("float32"), GIVEN)
    said = {"mean": PREPROCESSING.mean, "std": PREPROCESSING.std}
    assert found.preprocessing == dataclasses.replace(Preprocessing.of_pixels(8, 8), **said)
    assert found.labels is None


@pytest.mark.parametrize("kind", ["uint8", "int32", "uint8_quantized"])
def test_pixels_that_nothing_describes(write, kind):
    path = write(kind)
    found = read_model_input(path)
    assert found.kind == "rgb_uint8" and found.preprocessing.height == 8
    tensor = LiteRTModel(path).input
    codes = found.encode(pixels_of(1), tensor)
    # Not divided by the scale, which says how the network reads them.
    assert codes.dtype == tensor.dtype and np.array_equal(codes, pixels_of(1))


def test_a_quantized_input_with_mean_and_std_takes_normalized_values(write):
    assert read_model_input(write("uint8_quantized"), GIVEN).kind == "float"
    with pytest.raises(ValueError, match="mean and std are of no use.*Received: mean and std"):
        read_model_input(write("uint8"), GIVEN)


def test_mean_and_std_among_models_that_take_pixels(write):
    found = read_model_inputs([write("uint8"), write("float32")], GIVEN)
    assert [one.kind for one in found] == ["rgb_uint8", "float"]


@pytest.mark.parametrize(
    "kind, tolerance",
    [
        ("float32", 1e-5),
        ("float16", 2e-3),
        ("uint8", 1e-5),
        ("int32", 1e-5),
        ("batch", 1e-5),
        ("int8", 0.03),
        ("uint8_quantized", 0.03),
    ],
)
def test_every_type_of_input_gives_the_same_scores(write, kind, tolerance):
    path = write(kind, description("rgb_uint8" if kind in ("uint8", "int32") else "float"))
    pixels = pixels_of(6)
    scores = LiteRTModel(path).predict(pixels, read_model_input(path).encode)
    assert np.max(np.abs(scores - expected_scores(pixels))) < tolerance


def test_an_int8_input_holds_codes_of_normalized_values(write):
    path = write("int8", description())
    tensor = LiteRTModel(path).input
    codes = read_model_input(path).encode(pixels_of(2), tensor)
    values = normalize(pixels_of(2), PREPROCESSING)
    assert codes.dtype == np.int8 and len(np.unique(codes)) > 50
    assert np.max(np.abs(tensor.dequantize(codes) - values)) <= 0.5001 * tensor.scale


def test_open_sizes(write):
    path = write("open")
    with pytest.raises(ValueError, match="takes any size: choose one with --size. Received: /"):
        read_model_input(path, GIVEN)
    overrides = dataclasses.replace(GIVEN, size=(12, 10))
    record = read_model_input(path, overrides).preprocessing
    assert (record.height, record.width) == (12, 10)
    pixels = pixels_of(3, (12, 10))
    model = LiteRTModel(path, input_shape=(1, 12, 10, 3))
    scores = model.predict(normalize(pixels, PREPROCESSING))
    assert np.max(np.abs(scores - expected_scores(pixels))) < 1e-5


def test_a_fixed_size_stays(write):
    path = write("float32", description())
    with pytest.raises(ValueError, match="of 8x8 pixels only. Received: 9x9 by --size"):
        read_model_input(path, InputOverrides(size=(9, 9)))
    with pytest.raises(ValueError, match="LiteRT cannot open the model"):
        LiteRTModel(path, input_shape=(1, 9, 9, 3))
    write("float32", description(record=dataclasses.replace(PREPROCESSING, height=16)))
    with pytest.raises(ValueError, match="Received: 16x8 by float32.json beside it"):
        read_model_input(path)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[1]",
        '{"input": 3}',
        json.dumps(description("rgb")),
        json.dumps(description(labels="abcdef")),
        json.dumps(description(labels=[1, 2])),
        json.dumps(description() | {"preprocessing": {"height": 8}}),
        json.dumps(description() | {"preprocessing": {"height": 8, "width": "8"}}),
        json.dumps(description() | {"preprocessing": {"height": 8, "width": 8, "std": [0, 0, 0]}}),
        json.dumps(description() | {"preprocessing": {"height": 8, "width": 8.5}}),
        json.dumps(description() | {"preprocessing": {"height": 8, "width": 8, "mean": [1] * 999}}),
        "[" * 200_000,
    ],
)
def test_a_description_that_is_none(write, content):
    path = write("float32")
    path.with_suffix(".json").write_text(content)
    with pytest.raises(ValueError, match="Not a description written by care_keras") as error:
        read_sidecar(path)
    assert len(str(error.value)) < 600


def test_grey_images(write):
    path = write("grey")
    record = read_model_input(path, InputOverrides(mean=(0.5,), std=(0.25,))).preprocessing
    assert (record.channels, record.mean, record.std) == (1, (0.5,), (0.25,))
    with pytest.raises(ValueError, match="takes grey images: .*Received: 0.5,0.4,0.3"):
        read_model_input(path, GIVEN)
    write("grey", description())
    with pytest.raises(ValueError, match="images of 1 channels, grey.json beside it speaks of 3"):
        read_model_input(path)


def test_models_that_take_no_images(write, tmp_path):
    two = "another kind of data. Received: inputs table float32 8x3, indices int32 4 in /"
    for kind, message in (("two", two), ("wide", "of 1x1000 in")):
        (tmp_path / "odd.tflite").write_bytes(tiny_model(kind))
        with pytest.raises(ValueError, match=message):
            read_model_input(tmp_path / "odd.tflite", GIVEN)


@pytest.mark.parametrize("name", BUNDLED)
def test_what_a_keras_model_carries(name):
    found = read_model_input(name)
    detector = BUNDLED[name].task == "detection"
    assert found.kind == "float" and found.preprocessing.height == (256 if detector else 32)
    assert len(found.labels) == (3 if detector else 10)
    assert (found.task is not None) == detector
    # The quantized form takes pixels from 0 to 255.
    white = found.values(np.full((1, 32, 32, 3), 255, np.uint8)).max()
    normalized = 2.64 if detector else 2.13
    assert white == pytest.approx(255 if BUNDLED[name].quantized else normalized, abs=0.01)


def test_a_keras_model_that_says_nothing():
    inputs = keras.Input((None, 10, 3))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    with pytest.raises(ValueError, match="does not say .*give --mean and --std.*Received: foreign"):
        keras_model_input(model, "foreign")
    with pytest.raises(ValueError, match="foreign: The model takes any size"):
        keras_model_input(model, "foreign", GIVEN)
    with pytest.raises(ValueError, match="Received: size=10x11"):
        keras_model_input(model, "foreign", dataclasses.replace(GIVEN, size=(10, 11)))
    found = keras_model_input(
        model, "foreign", dataclasses.replace(GIVEN, size=(12, 10), crop_ratio=1.0)
    )
    record = dataclasses.replace(PREPROCESSING, height=12, width=10, interpolation="bilinear")
    assert found.preprocessing == record


def test_a_description_that_says_nothing_of_images(write):
    path = write("float32", description() | {"preprocessing": None})
    assert read_sidecar(path) is None
    assert read_model_input(path, GIVEN).kind == "float"


def test_a_head_on_care_has_its_images_prepared_as_the_backbone_does(capsys):
    backbone = care_keras.CARE_Nano(include_top=False, pooling="avg", weights=None)
    model = keras.Model(backbone.input, keras.layers.Dense(3)(backbone.output))
    found = keras_model_input(model, "mine.keras").preprocessing
    expected = CONFIGS["nano"].preprocessing
    assert (found.mean, found.std, found.height) == (expected.mean, expected.std, expected.height)
    assert "mine.keras: the images are prepared as those of care_nano" in capsys.readouterr().err


def test_a_rescaling_in_front_wants_pixels(capsys):
    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.Conv2D(2, 3)(keras.layers.Rescaling(1 / 255)(inputs))
    found = keras_model_input(keras.Model(inputs, outputs), "mine.keras").preprocessing
    assert found == Preprocessing.of_pixels(8, 8)
    assert "does not say how its images are resized: all of each" in capsys.readouterr().err
