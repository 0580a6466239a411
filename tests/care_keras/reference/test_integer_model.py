"""Whole networks in integers against their files: every tensor, every code."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from care_keras.data.sources import open_source
from care_keras.deploy import fuse
from care_keras.emit.network import emit_tflite
from care_keras.litert.layer_runner import LayerRunner, layer_differences
from care_keras.litert.model import LiteRTModel
from care_keras.loading import load_any
from care_keras.quantization import QuantizationConfig, calibrate, quantize
from care_keras.reference import IntegerModel
from care_keras.reference.program import keeps_images_apart
from care_keras.tflite_file import read_graph
from tests.care_keras.helpers import infer, numpy_of, tiny_backbone
from tests.care_keras.quantization.samples import (
    SIZE,
    deploy_form,
    normalized,
    photos,
    pixels,
    quantized_form,
)
from tests.care_keras.reference.one_operation import Codes, Draw, File, options
from tflite.inputs.odd_inputs import odd_input

ROOT = pathlib.Path(__file__).parents[3]
# Ranges that are found quickly: any do for a comparison of arithmetic.
QUICK = {"observer": "min_max", "refine_attention": False, "correct_biases": False}


@pytest.fixture(scope="module")
def nano():
    """The bundled model of quantization-aware training."""
    return load_any("care_nano_cifar10_qat")


@pytest.fixture(scope="module")
def nano_model(nano):
    return IntegerModel(nano)


@pytest.fixture(scope="module")
def nano_images():
    """Photos of the bundled test split, and black, white, single pixels and noise."""
    source = open_source("bundled", "test")
    photos = np.stack([source[i] for i in range(24)])
    odd = [odd_input(i, 0, photos)[1] for i in range(16)]
    return np.concatenate([photos[:8], odd])


def codes_of(images):
    """Pixels as a file of a quantized form takes them."""
    return (images.astype(np.int16) - 128).astype(np.int8)


def assert_every_tensor_equal(model: IntegerModel, runner: LayerRunner, inputs, layers):
    got = model.codes(inputs)
    runs = [runner.codes(x[None]) for x in inputs]
    # Joined pixels that only the right side of a product reads are taken from their map.
    unread = {name for name in runs[0] if name.endswith("_attention_value")}
    assert len(runs[0]) > layers and set(runs[0]) - unread <= set(got)
    differing = {}
    for name in sorted(set(runs[0]) - unread):
        expected = np.concatenate([run[name] for run in runs])
        assert expected.dtype == got[name].dtype and expected.shape == got[name].shape
        assert len(np.unique(expected)) > 1, name
        if count := np.count_nonzero(expected != got[name]):
            differing[name] = f"{count} of {expected.size}"
    assert not differing


def test_every_tensor_of_the_bundled_model(nano, nano_model, nano_images):
    runner = LayerRunner(emit_tflite(nano, (32, 32), all_tensors=True))
    assert_every_tensor_equal(nano_model, runner, codes_of(nano_images), layers=300)


def test_the_file_that_is_delivered(nano, nano_model, nano_images):
    """XNNPACK computes only what is asked for, and fuses: the same codes."""
    content = emit_tflite(nano, (32, 32), input_kind="rgb_uint8")
    file, model = LiteRTModel(content), IntegerModel(content)
    assert model.input.dtype == np.uint8 and model.input == file.input
    assert model.output == file.output
    expected = np.concatenate([file.run(x[None]) for x in nano_images])
    np.testing.assert_array_equal(model.run(nano_images), expected)
    np.testing.assert_array_equal(nano_model.run(codes_of(nano_images)), expected)
    np.testing.assert_array_equal(model.predict(nano_images), file.predict(nano_images))


def test_every_tensor_of_a_calibrated_model():
    runner = LayerRunner(emit_tflite(quantized_form(), SIZE, all_tensors=True))
    model = IntegerModel(quantized_form())
    assert_every_tensor_equal(model, runner, codes_of(photos(12)), layers=60)


@pytest.mark.parametrize("size", [(40, 24), (8, 8)])
def test_images_of_another_size(size):
    """Down to maps so small that a kernel's taps meet none of their pixels."""
    images = np.random.default_rng(1).integers(0, 256, (3, *size, 3), dtype=np.uint8)
    file = LiteRTModel(emit_tflite(quantized_form(), size))
    model = IntegerModel(quantized_form(), size)
    np.testing.assert_array_equal(model.predict(images), file.predict(images))


def test_any_number_of_images_and_threads():
    """More than go through at once, in one thread and in two."""
    model = IntegerModel(quantized_form())
    threads = IntegerModel(quantized_form(), num_threads=2)
    single = np.concatenate([model.predict(image[None]) for image in photos(24)])
    assert single.shape == (24, 10) and single.dtype == np.float32
    times = 30
    images = np.tile(photos(24), (times, 1, 1, 1))
    assert model._block < len(images)
    np.testing.assert_array_equal(model.predict(images), np.tile(single, (times, 1)))
    np.testing.assert_array_equal(threads.predict(images), np.tile(single, (times, 1)))


def test_a_file_for_a_batch():
    model = IntegerModel(emit_tflite(quantized_form(), SIZE, batch=3))
    expected = IntegerModel(quantized_form()).predict(pixels(7))
    np.testing.assert_array_equal(model.predict(pixels(7)), expected)


def test_a_network_that_mixes_images():
    """TRANSPOSE of the first two axes: images run in batches of the file's size."""
    x = Draw(0).tensor(2, 5, 6)
    file = File()
    result = Codes(np.empty((5, 2, 6), np.int8), x.scale, x.zero_point)
    inputs = [file.input(x), file.integers([1, 0, 2])]
    swapped = file.operator("TRANSPOSE", 2, inputs, result, options("Transpose"))
    inputs = [swapped, file.integers([0])]
    mean = Codes(np.empty((2, 6), np.int8), x.scale, x.zero_point)
    content = file.content(file.operator("MEAN", 2, inputs, mean, options("Reducer")))
    model, runtime = IntegerModel(content), LiteRTModel(content)
    images = Draw(1).codes(5, 5, 6)
    padded = np.concatenate([images, images[-1:]])
    expected = [runtime.run(padded[i : i + 2]) for i in (0, 2, 4)]
    np.testing.assert_array_equal(model.run(images), np.concatenate(expected)[:5])


def one_operation(name, axis):
    """A file of an operation along an axis of `(4, 6, 8)`."""
    x, file = Draw(0).tensor(4, 6, 8), File()
    inputs, array = [file.input(x)], x.array
    if name == "ARG_MAX":
        inputs.append(file.integers(axis))
        places = [Codes(array.argmax(axis).astype(np.int32))]
        fields = options("ArgMax", outputType=schema.TensorType.INT32)
        return file.content(*file.operators(name, 2, inputs, places, fields))
    if name == "REDUCE_MAX":
        inputs.append(file.integers([axis]))
        fields, outputs = options("Reducer"), [array.max(axis)]
    elif name == "PADV2":
        padding = [[int(axis % 3 == i), 0] for i in range(3)]
        value = Codes(np.asarray(0, np.int8), x.scale, x.zero_point)
        inputs += [file.integers(padding), file.constant(value)]
        fields, outputs = options("PadV2"), [np.pad(array, padding)]
    elif name == "PACK":
        fields, outputs = options("Pack", axis=axis, valuesCount=2), [np.stack([array] * 2, axis)]
        inputs *= 2
    elif name == "UNPACK":
        fields = options("Unpack", axis=axis, num=array.shape[axis])
        outputs = list(np.moveaxis(array, axis, 0))
    else:
        inputs += [file.integers([1, array.shape[axis] - 1]), file.integers(axis)]
        fields, outputs = options("SplitV", numSplits=2), np.split(array, [1], axis)
    outputs = [Codes(part, x.scale, x.zero_point) for part in outputs]
    return file.content(*file.operators(name, 2, inputs, outputs, fields))


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("name", ["ARG_MAX", "REDUCE_MAX", "PADV2", "PACK", "UNPACK", "SPLIT_V"])
def test_what_keeps_images_apart(name, axis):
    assert keeps_images_apart(read_graph(one_operation(name, axis))) == (axis != 0)


def test_normalized_images_and_several_outputs():
    backbone = tiny_backbone()
    quick = QuantizationConfig(**QUICK)
    form = quantize(fuse(keras.Model(backbone.input, backbone.pyramid_outputs)), quick)
    calibrate(form, [normalized()], quick)
    model = IntegerModel(form, SIZE)
    runner = LayerRunner(emit_tflite(form, SIZE))
    inputs = model.input.quantize(normalized(2))
    outputs, expected = model.run(inputs), [runner.codes(x[None]) for x in inputs]
    assert list(outputs) == ["P2", "P3"]
    for name, codes in outputs.items():
        np.testing.assert_array_equal(codes, np.concatenate([run[name] for run in expected]))
    assert model.predict(normalized(2))["P3"].dtype == np.float32


def test_compares_layers_like_a_file():
    """It stands in for the int8 file where layers are held against float32 ones."""
    reference = LayerRunner(
        emit_tflite(deploy_form(), SIZE, input_kind="rgb_uint8", all_tensors=True)
    )
    content = emit_tflite(quantized_form(), SIZE, input_kind="rgb_uint8", all_tensors=True)
    by_file = list(layer_differences(reference, LayerRunner(content), photos(2)))
    in_integers = list(layer_differences(reference, IntegerModel(content), photos(2)))
    assert {x.name: x for x in by_file} == {x.name: x for x in in_integers}


def test_follows_the_quantized_form_and_is_not_it():
    """Fake quantization alone drifts from the file, here by some steps of the output."""
    model = IntegerModel(quantized_form())
    simulated = numpy_of(infer(quantized_form(), pixels()))
    difference = np.abs(simulated - model.predict(photos())) / model.output.scale
    assert 0.5 < difference.max() < 30.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (deploy_form, "Only a quantized form.*Received: model='"),
        (lambda: emit_tflite(deploy_form(), SIZE), "CONV_2D cannot be.*Received: .*'stem_conv'"),
        (lambda: b"no model", "no TFLite model.*Received: 8 bytes"),
    ],
)
def test_what_is_no_integer_network_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        IntegerModel(make())


def test_a_form_without_a_record_needs_a_size():
    form = quantize(deploy_form())
    form.preprocessing = None
    with pytest.raises(ValueError, match="give `size`.*Received: size=None"):
        IntegerModel(form)


@pytest.mark.parametrize(
    "inputs",
    [
        np.zeros((2, 8, 8, 3), np.int8),
        np.zeros((1, *SIZE, 3), np.uint8),
        np.zeros((0, *SIZE, 3), np.int8),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs):
    with pytest.raises(ValueError, match=r"takes int8 of shape \(images, 32, 48, 3\).*Received: "):
        IntegerModel(quantized_form()).run(inputs)


def test_an_operation_that_is_not_known_is_named():
    file = File()
    x = Draw(0).tensor(1, 4, 4, 3)
    result = Codes(x.array, x.scale, x.zero_point)
    output = file.operator("L2_NORMALIZATION", 2, [file.input(x)], result, options("L2Norm"))
    message = "L2_NORMALIZATION cannot be.*not known.*Received: .*'output'"
    with pytest.raises(ValueError, match=message):
        IntegerModel(file.content(output))


def test_needs_no_runtime(tmp_path):
    """A process of its own reads a file and runs it: without LiteRT's runtime or TensorFlow."""
    for module in ("scipy", "jax"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"Keras's NumPy backend needs {module}")
    path = tmp_path / "model.tflite"
    path.write_bytes(emit_tflite(quantized_form(), SIZE))
    np.save(tmp_path / "images.npy", photos(2))
    code = (
        "import sys, numpy as np\n"
        "from care_keras.reference import IntegerModel\n"
        "model = IntegerModel(sys.argv[1])\n"
        "np.save(sys.argv[3], model.predict(np.load(sys.argv[2])))\n"
        "assert not {'ai_edge_litert.interpreter', 'tensorflow'} & set(sys.modules)\n"
    )
    arguments = [path, tmp_path / "images.npy", tmp_path / "logits.npy"]
    subprocess.run(
        [sys.executable, "-c", code, *map(os.fspath, arguments)],
        env=os.environ | {"PYTHONPATH": os.fspath(ROOT), "KERAS_BACKEND": "numpy"},
        check=True,
    )
    expected = LiteRTModel(path).predict(photos(2))
    np.testing.assert_array_equal(np.load(tmp_path / "logits.npy"), expected)
