"""Both models opened and run: pairs that fit, pairs that do not, files that are no models."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from care_keras.console.native_output import captured_native_output
from care_keras.convert.by_tensorflow import convert_by_tensorflow
from care_keras.convert.conversion import convert_model
from care_keras.convert.sidecar import describe
from care_keras.data.overrides import InputOverrides
from care_keras.data.preprocessing import resize_and_crop
from care_keras.data.record import Preprocessing
from care_keras.data.sources import open_source
from care_keras.tflite_file import read_graph
from tests.tflite import tiny_classifiers, tiny_models
from tests.tflite.compare.photos import photos
from tests.tflite.compare.test_faults import shuffled, with_constant, writer_of
from tests.tflite.compare.test_names import RECORD, file, network
from tests.tflite.picking_models import write_picking
from tests.tflite.several_ends import keras_file, keras_model
from tflite.compare import opened as opened_module
from tflite.compare.comparison import compare
from tflite.compare.feeds import ImageFeed
from tflite.compare.opened import file_kind, open_pair
from tflite.compare.tensors import FileFailsError
from tflite.compare.text import format_comparison, to_dict, verdict

SAID = InputOverrides(mean=RECORD.mean, std=RECORD.std)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Keras model and its file."""
    folder = tmp_path_factory.mktemp("pair")
    network().save(folder / "model.keras")
    (folder / "model.tflite").write_bytes(file())
    return folder


@pytest.fixture(scope="module")
def pair(folder):
    return open_pair(str(folder / "model.keras"), folder / "model.tflite", SAID)


def test_a_pair(pair):
    assert pair.kind == "float32" and pair.criterion.min_snr_db == 60.0
    assert pair.file_input.preprocessing.height == pair.keras_input.preprocessing.width == 16
    assert len(pair.delegation.delegated) == len(pair.file.operators)
    result = compare(pair, photos(pair, range(30)), 5)
    assert verdict(result, 1.0) is None
    assert result.output.images == 30 and result.output.agreement == 1.0
    assert result.layer_images == result.layer_images_identical == 5
    assert result.reference == "graph" and len(result.layers.layers) == 13


def test_outputs_do_not_depend_on_chunks(pair, monkeypatch):
    feed = photos(pair, range(30))
    at_once = compare(pair, feed, 2).output
    monkeypatch.setattr("tflite.compare.opened._CHUNK_EXAMPLES", 7)
    assert pair.chunk_examples == 7
    # From so many images on the Keras model is traced.
    monkeypatch.setattr("tflite.inputs.keras_runner._GRAPH_EXAMPLES", 30)
    in_parts = compare(pair, feed, 2).output
    assert in_parts.agreement == at_once.agreement
    assert in_parts.figures.snr_db == pytest.approx(at_once.figures.snr_db, abs=6.0)
    assert in_parts.figures.max_difference < 1e-5


def test_a_file_of_batches(folder, tmp_path):
    with captured_native_output():
        content = convert_by_tensorflow(network(), RECORD, "float32", "rgb_uint8", batch=4)
    (tmp_path / "batch.tflite").write_bytes(content)
    opened = open_pair(str(folder / "model.keras"), tmp_path / "batch.tflite", SAID)
    assert opened.file_input.kind == "rgb_uint8" and opened.chunk_examples % 4 == 0
    result = compare(opened, photos(opened, range(6)), 6)
    assert verdict(result, 1.0) is None and result.output.images == 6
    assert result.layer_images_identical == 6 and len(result.layers.layers) == 13


def test_half_precision_weights(folder, tmp_path):
    with captured_native_output():
        content = convert_by_tensorflow(network(), RECORD, "float16")
    (tmp_path / "half.tflite").write_bytes(content)
    opened = open_pair(str(folder / "model.keras"), tmp_path / "half.tflite", SAID)
    assert opened.kind == "float16" and opened.criterion.min_snr_db == 40.0
    result = compare(opened, photos(opened, range(8)), 8)
    assert result.layers.first_wrong is None and len(result.layers.layers) >= 12
    assert 55.0 < min(layer.own.snr_db for layer in result.layers.layers) < 90.0


def test_what_the_description_says_holds_for_a_model_that_says_nothing(folder, tmp_path):
    (tmp_path / "model.tflite").write_bytes(file())
    record = {
        "input": {"kind": "float"},
        "preprocessing": {**RECORD.to_dict(), "mean": [0.4] * 3, "interpolation": "nearest"},
    }
    (tmp_path / "model.json").write_text(json.dumps(record))
    opened = open_pair(str(folder / "model.keras"), tmp_path / "model.tflite")
    assert opened.keras_input.preprocessing.mean == opened.file_input.preprocessing.mean
    assert tuple(opened.keras_input.preprocessing.mean) == (0.4,) * 3
    assert opened.file_input.preprocessing.interpolation == "nearest"
    other = open_pair(str(folder / "model.keras"), tmp_path / "model.tflite", SAID)
    assert tuple(other.keras_input.preprocessing.mean) == RECORD.mean


def test_what_a_model_says_holds_for_a_file_without_description(folder, monkeypatch):
    model = network()
    model.preprocessing = dataclasses.replace(RECORD, fit="stretch", interpolation="nearest")
    monkeypatch.setattr(opened_module, "load_keras", lambda name: model)
    said = InputOverrides(interpolation="bilinear", crop_ratio=0.5)
    # A ratio is of a crop.
    for overrides, expected in ((None, ("stretch", "nearest")), (said, ("crop", "bilinear"))):
        record = open_pair("a model", folder / "model.tflite", overrides).file_input.preprocessing
        assert (record.fit, record.interpolation) == expected


BAD_FILES = {
    "missing": (lambda content: None, "cannot be read: No such file.*bad.tflite"),
    "empty": (lambda content: b"", "The file is empty"),
    "truncated": (lambda content: content[: len(content) // 2], "truncated or corrupt"),
    "random": (lambda content: np.random.default_rng(0).bytes(3000), "no TFLite model"),
    "random behind the identifier": (
        lambda content: content[:8] + np.random.default_rng(0).bytes(3000),
        "truncated or corrupt",
    ),
    "custom": (
        lambda content: tiny_models.tiny_model("custom"),
        "operators that TFLite lacks: MatrixInverse",
    ),
    "other size": (
        lambda content: tiny_models.tiny_model("conv"),
        "do not fit together: outputs of 5 for an image in .*model.keras, of 16x16x3 in",
    ),
    "other classes": (
        lambda content: tiny_classifiers.tiny_classifier("open"),
        "do not fit together: outputs of 5 for an image in .*, of 6 in .*bad.tflite",
    ),
    "several inputs": (lambda content: tiny_models.tiny_model("two"), "another kind of data"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_files_that_cannot_be_compared(kind, folder, tmp_path):
    make, message = BAD_FILES[kind]
    content = make(file())
    if content is not None:
        (tmp_path / "bad.tflite").write_bytes(content)
    said = dataclasses.replace(SAID, size=(16, 16))
    with pytest.raises(ValueError, match=message):
        open_pair(str(folder / "model.keras"), tmp_path / "bad.tflite", said)


def test_keras_models_that_cannot_be_compared(folder, tmp_path):
    with pytest.raises(ValueError, match="No such model file"):
        open_pair(str(tmp_path / "none.keras"), folder / "model.tflite", SAID)
    (tmp_path / "bad.keras").write_bytes((folder / "model.keras").read_bytes()[:5000])
    with pytest.raises(ValueError, match="Not a .keras file, or a damaged one"):
        open_pair(str(tmp_path / "bad.keras"), folder / "model.tflite", SAID)
    (tmp_path / "large.tflite").write_bytes(tiny_classifiers.tiny_classifier("float32"))
    with pytest.raises(ValueError, match="takes images of 16x16 pixels only. Received: size=8x8"):
        open_pair(str(folder / "model.keras"), tmp_path / "large.tflite", SAID)


def test_an_image_that_cannot_be_read(pair, tmp_path):
    for i, image in enumerate(open_source("bundled:test").take(range(3))):
        from PIL import Image

        Image.fromarray(image).save(tmp_path / f"{i}.png")
    (tmp_path / "1.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="An image cannot be read. Received: .*1.png"):
        compare(pair, ImageFeed(pair, open_source(str(tmp_path))), 1)


def test_a_file_that_does_not_run(pair, monkeypatch):
    def fail(inputs):
        raise ValueError("The model fails to run. Received: a divisor of 0")

    monkeypatch.setattr(pair.litert, "run", fail)
    with pytest.raises(FileFailsError, match="a divisor of 0"):
        compare(pair, photos(pair, range(3)), 1)


def test_kinds_of_files():
    for name, kind in (("int8", "int8"), ("uint8_quantized", "int8"), ("float32", "float32")):
        assert file_kind(read_graph(tiny_classifiers.tiny_classifier(name))) == kind
    # So many weights that the converter rounds them.
    inputs = keras.Input((16, 16, 3))
    model = keras.Model(inputs, keras.layers.Dense(8)(keras.layers.Flatten()(inputs)))
    with captured_native_output():
        content = convert_by_tensorflow(model, RECORD, "dynamic")
    assert file_kind(read_graph(content)) == "dynamic"


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Opens a file of a Keras model of two inputs and two outputs, with that."""
    folder = tmp_path_factory.mktemp("several")
    keras_model().save(folder / "model.keras")

    def open_it(content):
        (folder / "model.tflite").write_bytes(content)
        return open_pair(str(folder / "model.keras"), folder / "model.tflite", SAID)

    return open_it


def compared(pair):
    return compare(pair, photos(pair, range(30)), 5)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_several_inputs_and_outputs(several, precision):
    pair = several(keras_file(precision))
    assert pair.kind == precision and pair.litert.others == ("extra",)
    # Keras numbers them in its own order, and TensorFlow puts them in another.
    assert list(pair.litert.outputs) == ["output_1", "output_0"]
    assert pair.outputs == {0: "output_0", 1: "output_1"}
    assert pair.inputs == {0: "images", 1: "extra"}
    result = compared(pair)
    assert verdict(result, 0.9) is None
    assert {one.name: one.agreement > 0.9 for one in result.outputs} == {
        "output_0": True,
        "output_1": True,
    }
    names = {layer.name for layer in result.layers.layers}
    assert {"convolution", "beside", "sum", "scores", "box"} <= names
    assert result.layer_images_identical == 5
    if precision == "float32":
        assert min(one.figures.snr_db for one in result.outputs) > 100.0


def test_the_worst_output_decides(several):
    data = keras_file()
    index = writer_of(data, "StatefulPartitionedCall_1:1")
    pair = several(with_constant(data, index, 1, shuffled))
    result = compared(pair)
    text = verdict(result, 0.98)
    assert text.startswith("the largest value of output_1 agrees for ")
    assert text.count("the first layer that goes wrong is box (FULLY_CONNECTED") == 1
    assert [layer.name for layer in result.layers.layers if not layer.own.right] == ["box"]
    lines = format_comparison(pair, result, all_layers=False).splitlines()
    assert lines[0].startswith("output of model.tflite  images  same largest")
    assert [line.split()[0] for line in lines[2:4]] == ["output_0", "output_1"]
    content = to_dict(pair, result, {}, text)
    assert content["output"]["name"] == "output_1" and content["inputs_of_noise"] == ["extra"]
    assert [one["name"] for one in content["outputs"]] == ["output_0", "output_1"]
    assert content["outputs"][0]["agreement"] == 1.0 > content["output"]["agreement"]
    # What is not finite is worse than what is wrong.
    index = writer_of(data, "StatefulPartitionedCall_1:0")
    pair = several(with_constant(data, index, 1, lambda kernel: kernel * np.nan))
    assert verdict(compared(pair), 0.98).startswith(
        "the file gives values of output_0 that are not finite"
    )


def test_ends_that_do_not_fit(several, folder):
    with pytest.raises(ValueError, match="fit together: further inputs extra in .*, none in "):
        several(file())
    path = several(keras_file()).path
    with pytest.raises(ValueError, match="fit together: further inputs none in .*, extra in "):
        open_pair(str(folder / "model.keras"), path, SAID)
    inputs = [keras.Input((16, 16, 3)), keras.Input((7,))]
    means = keras.layers.GlobalAveragePooling2D()(inputs[0])
    ends = keras.layers.Concatenate()([means, inputs[1]])
    model = keras.Model(inputs, [keras.layers.Dense(count)(ends) for count in (6, 2)])
    model.save(folder / "other.keras")
    with pytest.raises(ValueError, match=r"inputs of 7 for an image in .*, of 5 in .* \(extra\)"):
        open_pair(str(folder / "other.keras"), path, SAID)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_number_for_each_image(tmp_path, precision):
    """As a regression squeezes it: no axis is that of channels."""
    keras.utils.set_random_seed(0)
    images = keras.Input((16, 16, 3))
    means = keras.layers.GlobalAveragePooling2D()(images)
    number = keras.ops.squeeze(keras.layers.Dense(1)(means), -1)
    keras.Model(images, number).save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    source = open_source("bundled", "train")
    pixels = (resize_and_crop(source[index], RECORD) for index in range(40))
    kind = "float" if precision == "float32" else "rgb_uint8"
    converted = convert_model(model, RECORD, precision, kind, calibration=pixels)
    (tmp_path / "model.tflite").write_bytes(converted.content)
    path, record = tmp_path / "model.tflite", converted.preprocessing
    described = describe(
        path, path.name, kind, precision, record, labels=None, activation=None, of_model=RECORD
    )
    path.with_suffix(".json").write_text(json.dumps(described))
    opened = open_pair(str(tmp_path / "model.keras"), path)
    # The last chunk is shorter.
    result = compare(opened, photos(opened, range(opened.chunk_examples + 3)), 5)
    assert result.output.agreement is None and result.output.figures.channels == 1
    assert result.output.figures.snr_db > (100.0 if precision == "float32" else 20.0)


@pytest.mark.parametrize("kind", ["map", "class"])
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_classes_are_the_same_or_not(tmp_path, kind, precision):
    path, model = write_picking(tmp_path, kind, precision)
    opened = open_pair(model, path)
    result = compare(opened, photos(opened, range(30)), 5)
    output = result.output
    assert output.figures.equal == pytest.approx(output.agreement)
    assert output.agreement == 1.0 if precision == "float32" else output.agreement > 0.85
    assert verdict(result, 0.85) is None and result.layer_images_identical == 5
    assert [layer for layer in result.layers.layers if not layer.own.right] == []
    table = format_comparison(opened, result, True)
    assert "same class" in table and "same largest" not in table
    content = to_dict(opened, result, {}, None)
    assert content["output"]["snr_db"] is None
    assert content["output"]["equal_share"] == output.figures.equal
    if kind == "map":
        (last,) = [x for x in content["layers"] if x["operator"] == "ARG_MAX"]
        assert last["own"]["equal_share"] == 1.0 and last["snr_so_far_db"] is None
    if output.agreement < 1.0:
        assert "the class agrees for" in verdict(result, 1.0)


@keras.saving.register_keras_serializable(package="tests_compare")
class Gated(keras.layers.Layer):
    """What fuse has no primitives of, and TensorFlow's converter has."""

    def build(self, input_shape):
        self.gate = self.add_weight((input_shape[-1],), "glorot_uniform", name="gate")

    def call(self, inputs):
        return inputs * keras.ops.sigmoid(keras.ops.mean(inputs * self.gate, -1, keepdims=True))


@pytest.mark.usefixtures("converter_here")
def test_layers_of_others_are_those_of_the_file_that_was_lifted(tmp_path):
    images = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    x = Gated(name="gated")(keras.layers.Conv2D(6, 3, name="conv")(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(images, keras.layers.Dense(4, name="classes")(x))
    model.save(tmp_path / "model.keras")
    record = Preprocessing.of_pixels(16, 16)
    source = open_source("bundled:train").take(range(16))
    pixels = [resize_and_crop(source[place], record) for place in range(16)]
    with captured_native_output():
        content = convert_model(model, record, "int8", "rgb_uint8", calibration=pixels).content
    (tmp_path / "model.tflite").write_bytes(content)
    pair = open_pair(str(tmp_path / "model.keras"), tmp_path / "model.tflite")
    result = compared(pair)
    assert result.reference == "deploy form by way of TensorFlow's converter"
    operators = {layer.operator for layer in result.layers.layers}
    assert {"CONV_2D", "LOGISTIC", "MUL", "MEAN"} <= operators
    assert [layer for layer in result.layers.layers if not layer.own.right] == []
