"""Other operators for the same integers: an int8 file gives the codes of its plain form."""

import keras
import numpy as np
import pytest

from care_keras import primitives as p
from care_keras.deploy import DeployModel
from care_keras.emit.network import emit_tflite
from care_keras.emit.rules import operators, products
from care_keras.emit.rules.registry import RULES
from care_keras.litert.model import LiteRTModel
from care_keras.quantization import calibrate, int8_ptq, quantize
from care_keras.tflite_file import read_graph
from tests.care_keras.quantization.samples import SIZE, quantized_form


def depthwise_model(channels, kernel_size, dilation_rate, width, dense=False):
    """One depthwise convolution, and images for it."""
    generator = np.random.default_rng(channels + 10 * kernel_size[1])
    inputs = keras.Input((12, width, channels), name="images")
    options = {"dense": dense, "name": "conv", "dtype": "float32"}
    layer = p.DepthwiseConv2D(kernel_size, dilation_rate, **options)
    model = DeployModel(inputs, layer(inputs))
    layer.set_weights([generator.normal(size=w.shape).astype(np.float32) for w in layer.weights])
    return model, generator.normal(size=(4, 12, width, channels)).astype(np.float32)


def depthwise_form(*arguments, **options):
    """A quantized form of one depthwise convolution."""
    model, images = depthwise_model(*arguments, **options)
    config = int8_ptq(raw_pixels=False)
    form = quantize(model, config)
    calibrate(form, [images], config)
    return form, images


def names(content):
    return [operator.name for operator in read_graph(content).operators]


@pytest.mark.parametrize(
    ("channels", "kernel_size", "dilation_rate", "width", "folds"),
    [
        (8, (9, 1), (1, 1), 16, True),
        (8, (7, 3), (1, 2), 16, True),
        (8, (3, 3), (5, 4), 16, True),
        (8, (5, 5), (1, 2), 6, True),
        (4, (3, 3), (1, 4), 16, True),
        (2, (3, 1), (2, 1), 24, True),
        # Taps between two folded pixels, more channels, ones that fill no register, odd widths.
        (8, (3, 3), (1, 1), 16, False),
        (8, (5, 4), (1, 2), 16, False),
        (4, (3, 3), (1, 2), 16, False),
        (16, (7, 3), (1, 2), 16, False),
        (32, (9, 1), (1, 1), 16, False),
        (3, (9, 1), (1, 1), 16, False),
        (8, (9, 1), (1, 1), 15, False),
    ],
)
def test_folded_columns_give_the_same_codes(
    monkeypatch, channels, kernel_size, dilation_rate, width, folds
):
    form, images = depthwise_form(channels, kernel_size, dilation_rate, width)
    content = emit_tflite(form, (12, width))
    expected = ["RESHAPE", "DEPTHWISE_CONV_2D", "RESHAPE"] if folds else ["DEPTHWISE_CONV_2D"]
    assert names(content) == expected
    monkeypatch.setattr(products, "_columns_to_fold", lambda *_: 1)
    plain = emit_tflite(form, (12, width))
    assert names(plain) == ["DEPTHWISE_CONV_2D"]
    assert_same_codes(content, plain, images)


def assert_same_codes(content, plain, images):
    ours, theirs = (LiteRTModel(one) for one in (content, plain))
    codes = ours.input.quantize(images)
    for image in codes:
        np.testing.assert_array_equal(ours.run(image[None]), theirs.run(image[None]))


@pytest.mark.parametrize(
    ("channels", "kernel_size", "width", "folds"),
    [
        (8, (7, 7), 16, True),
        (8, (1, 11), 16, True),
        (8, (9, 5), 4, True),
        (4, (7, 7), 8, True),
        (3, (3, 9), 10, True),
        (1, (7, 7), 16, True),
        # One column of taps, an odd width.
        (8, (11, 1), 16, False),
        (8, (7, 7), 15, False),
    ],
)
def test_a_dense_convolution_of_pixels_side_by_side_gives_the_same_codes(
    channels, kernel_size, width, folds
):
    plain, images = depthwise_form(channels, kernel_size, (1, 1), width)
    dense, _ = depthwise_form(channels, kernel_size, (1, 1), width, dense=True)
    content = emit_tflite(dense, (12, width))
    assert names(content) == (["RESHAPE", "CONV_2D", "RESHAPE"] if folds else ["CONV_2D"])
    assert_same_codes(content, emit_tflite(plain, (12, width)), images)


@pytest.mark.parametrize("dense", [False, True])
def test_float_columns_are_folded_for_xnnpack_alone(dense):
    model, images = depthwise_model(8, (7, 3), (1, 1 if dense else 2), 16, dense)
    plain, folded = (
        emit_tflite(model, (12, 16), target=target) for target in ("portable", "xnnpack")
    )
    assert names(plain) == ["DEPTHWISE_CONV_2D"]
    assert names(folded) == (names(plain) if dense else ["RESHAPE", *names(plain), "RESHAPE"])
    files = [LiteRTModel(content) for content in (plain, folded)]
    for image in images:
        expected, found = (file.run(image[None]) for file in files)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_product_by_rows_gives_the_codes_of_one_by_columns(monkeypatch):
    form = quantized_form()
    content = emit_tflite(form, SIZE)

    def by_columns(emit, layer, inputs):
        left, right = inputs
        options = operators.options("BatchMatMul", adjX=False, adjY=layer.transpose_b)
        output = emit.output(layer, inputs)
        return operators.operator(emit, "BATCH_MATMUL", [left, right], output, options)

    monkeypatch.setitem(RULES, p.MatMul, by_columns)
    plain = emit_tflite(form, SIZE)
    assert names(plain).count("TRANSPOSE") < names(content).count("TRANSPOSE")
    ours, theirs = (LiteRTModel(one) for one in (content, plain))
    generator = np.random.default_rng(0)
    for _ in range(8):
        image = generator.integers(-128, 128, ours.input.shape, np.int8)
        np.testing.assert_array_equal(ours.run(image), theirs.run(image))


@pytest.mark.parametrize(("largest", "codes"), [(4.0, 127), (3000.0, 1)])
def test_the_constant_1_has_a_step_that_xnnpack_adds(largest, codes):
    """A term below 2^-10 of the sum's step would run outside of it, ten times slower."""
    inputs = keras.Input((4, 4, 8), name="images")
    config = int8_ptq(raw_pixels=False, observer="min_max")
    form = quantize(DeployModel(inputs, p.AddOne(name="one", dtype="float32")(inputs)), config)
    values = np.random.default_rng(0).uniform(-largest, largest, (2, 4, 4, 8)).astype(np.float32)
    calibrate(form, [values], config)
    content = emit_tflite(form, (4, 4))
    graph = read_graph(content)
    (constant,) = (tensor for tensor in graph.tensors if tensor.is_constant)
    assert constant.data.reshape(-1).tolist() == [codes]
    assert constant.scales[0] * codes == pytest.approx(1.0)
    model = LiteRTModel(content)
    step = model.output.scale
    assert constant.scales[0] / step >= 2.0**-10
    outputs = model.predict(values)
    assert np.abs(outputs - values - 1.0).max() <= 1.01 * step


def test_nothing_that_is_not_used_is_written():
    graph = read_graph(emit_tflite(quantized_form(), SIZE)).main
    read = {index for operator in graph.operators for index in operator.inputs}
    assert all(tensor.index in read or tensor.index in graph.outputs for tensor in graph.tensors)
    written = {index for operator in graph.operators for index in operator.outputs}
    assert written <= read | set(graph.outputs)
