"""Each operation that sums products against LiteRT, on random shapes, steps and zero points."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.care_keras.reference.one_operation import (
    Codes,
    Draw,
    File,
    activation,
    check,
    options,
)

SEEDS = range(12)


def output(shape, x, steps, terms, draw):
    """An output that the sums of random codes fill and now and then leave."""
    scale = float(np.mean(steps)) * float(x.scale) * terms**0.5 * 60
    # No zero point at an end, or an activation would leave no more than one code.
    zero_point = draw.integer(-100, 100)
    return Codes(np.empty(shape, np.int8), scale, zero_point)


def convolution(draw, seed, kind, x, weights, size, stride, dilation, filters, terms, **fields):
    file = File()
    padding = draw.integer(0, 1)
    reach = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    height, width = (
        -(-n // stride) if padding == schema.Padding.SAME else (n - r) // stride + 1
        for n, r in zip(x.array.shape[1:3], reach, strict=True)
    )
    result = output((len(x.array), height, width, filters), x, weights.scale, terms, draw)
    inputs = [file.input(x), file.constant(weights), file.constant(draw.bias(filters))]
    fields |= {
        "padding": padding,
        "strideH": stride,
        "strideW": stride,
        "dilationHFactor": dilation[0],
        "dilationWFactor": dilation[1],
        "fusedActivationFunction": activation(seed),
    }
    name = "DEPTHWISE_CONV_2D" if kind == "DepthwiseConv2D" else "CONV_2D"
    version = 3 if kind == "DepthwiseConv2D" else 6
    check(file, file.operator(name, version, inputs, result, options(kind, **fields)))


@pytest.mark.parametrize("seed", SEEDS)
def test_conv_2d(seed):
    draw = Draw(seed)
    size = (draw.integer(1, 4), draw.integer(1, 4)) if seed % 3 else (1, 1)
    stride = draw.integer(1, 3)
    dilation = (1, 1) if stride > 1 else (draw.integer(1, 2), draw.integer(1, 2))
    groups = 2 if seed % 4 == 3 else 1
    channels, filters = groups * draw.integer(1, 20), groups * draw.integer(1, 20)
    x = draw.tensor(2, draw.integer(8, 12), draw.integer(8, 12), channels)
    weights = draw.weights((filters, *size, channels // groups), 0)
    terms = channels // groups * size[0] * size[1]
    convolution(draw, seed, "Conv2D", x, weights, size, stride, dilation, filters, terms)


@pytest.mark.parametrize("seed", SEEDS)
def test_depthwise_conv_2d(seed):
    draw = Draw(seed)
    size = (draw.integer(1, 7), draw.integer(1, 7))
    stride = 1 if seed % 3 else 2
    dilation = (1, 1) if stride > 1 else (draw.integer(1, 3), draw.integer(1, 2))
    channels, multiplier = draw.integer(1, 40), 2 if seed % 5 == 4 else 1
    x = draw.tensor(2, draw.integer(20, 24), draw.integer(13, 15), channels)
    filters = channels * multiplier
    weights = draw.weights((1, *size, filters), 3)
    convolution(
        draw,
        seed,
        "DepthwiseConv2D",
        x,
        weights,
        size,
        stride,
        dilation,
        filters,
        size[0] * size[1],
        depthMultiplier=multiplier,
    )


def transposed(draw, seed, padding, size, stride, more=(0, 0)):
    """A file of TRANSPOSE_CONV whose output is `more` than it must be, or less with padding."""
    x = draw.tensor(2, draw.integer(1, 7), draw.integer(1, 7), draw.integer(1, 20))
    filters, channels = draw.integer(1, 20), x.array.shape[3]
    weights, bias = draw.weights((filters, *size, channels), 0), draw.bias(filters)
    if seed % 5 == 0:
        # One step for all of them, and of the bias too.
        weights, bias = (Codes(one.array, one.scale[:1]) for one in (weights, bias))
    shape = [
        n * step - extra if padding == schema.Padding.SAME else (n - 1) * step + taps + extra
        for n, step, taps, extra in zip(x.array.shape[1:3], stride, size, more, strict=True)
    ]
    terms = max(np.prod(size) / np.prod(stride), 1.0) * channels
    result = output((2, *shape, filters), x, weights.scale, terms, draw)
    file = File()
    inputs = [file.integers(result.array.shape), file.constant(weights), file.input(x)]
    if seed % 4:
        inputs.append(file.constant(bias))
    fields = {
        "padding": padding,
        "strideH": stride[0],
        "strideW": stride[1],
        "fusedActivationFunction": activation(seed),
    }
    return file, file.operator(
        "TRANSPOSE_CONV", 4, inputs, result, options("TransposeConv", **fields)
    )


@pytest.mark.parametrize("seed", range(40))
def test_transpose_conv(seed):
    draw = Draw(seed)
    padding = (schema.Padding.SAME, schema.Padding.VALID)[seed % 2]
    stride = draw.integer(1, 3), draw.integer(1, 3)
    least = stride if padding == schema.Padding.SAME else (1, 1)
    size = draw.integer(least[0], 5), draw.integer(least[1], 5)
    more = draw.integer(0, stride[0] - 1), draw.integer(0, stride[1] - 1)
    check(*transposed(draw, seed, padding, size, stride, more))


def test_a_transpose_conv_that_xnnpack_leaves_is_refused():
    file, result = transposed(Draw(1), 1, schema.Padding.SAME, (1, 2), (2, 2))
    with pytest.raises(ValueError, match="TRANSPOSE_CONV cannot be.*larger.*Received: .*'output'"):
        file.by_integers(result)


@pytest.mark.parametrize("seed", SEEDS)
def test_fully_connected(seed):
    draw = Draw(seed)
    # Long enough, now and then, that float32 would not hold the sums.
    channels, filters = draw.integer(1, 40) * (1 if seed % 4 else 100), draw.integer(1, 30)
    keep = bool(seed % 2)
    shape = (2, draw.integer(1, 6), channels) if keep else (draw.integer(2, 6), channels)
    x, weights = draw.tensor(*shape), draw.weights((filters, channels), 0)
    if seed % 3 == 0:
        # One step for all of them.
        weights = Codes(weights.array, weights.scale[:1])
    file = File()
    inputs = [file.input(x), file.constant(weights)]
    if seed % 5:
        inputs.append(file.constant(draw.bias(filters)))
    result = output((*shape[:-1], filters), x, weights.scale, channels, draw)
    fields = {"fusedActivationFunction": activation(seed), "keepNumDims": keep}
    check(
        file,
        file.operator("FULLY_CONNECTED", 5, inputs, result, options("FullyConnected", **fields)),
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_batch_matmul(seed):
    draw = Draw(seed)
    rows, summed, columns = (draw.integer(1, 30) for _ in range(3))
    summed *= 1 if seed % 4 else 40
    adj_x, adj_y = bool(seed % 3 == 2), bool(seed % 2)
    left = draw.tensor(2, *((summed, rows) if adj_x else (rows, summed)))
    right = Codes(draw.codes(2, *((columns, summed) if adj_y else (summed, columns))), draw.scale())
    file = File()
    right_handle = file.constant(right) if seed % 5 == 4 else file.input(right)
    result = output((2, rows, columns), left, right.scale, summed, draw)
    # The constant follows the input in the file's list of tensors, not of inputs.
    inputs = [file.input(left), right_handle]
    fields = options("BatchMatMul", adjX=adj_x, adjY=adj_y)
    check(file, file.operator("BATCH_MATMUL", 2, inputs, result, fields))


@pytest.mark.parametrize("bias", [2**31 - 1, -(2**31), 2**24 + 1])
def test_sums_that_no_float_or_no_int32_holds(bias):
    """Biases at the ends of int32: what is above wraps around, as it does in the kernels."""
    draw = Draw(0)
    x, weights = Codes(draw.codes(64, 16), 0.1, 3), draw.weights((8, 16), 0)
    biases = Codes(np.full(8, bias, np.int32), np.full(8, 0.001))
    result = Codes(np.empty((64, 8), np.int8), 0.1 * np.mean(weights.scale) * 2**31 / 100, -5)
    if bias == 2**24 + 1:
        result = Codes(result.array, 0.1 * np.mean(weights.scale) * 2**24 / 100, 5)
    file = File()
    inputs = [file.input(x), file.constant(weights), file.constant(biases)]
    check(file, file.operator("FULLY_CONNECTED", 5, inputs, result, options("FullyConnected")))


@pytest.mark.parametrize(("axis", "message"), [(1, "neither one step nor"), (0, "not below 256")])
def test_weights_that_xnnpack_would_refuse(axis, message):
    draw = Draw(0)
    weights = draw.weights((8, 8), 0)
    file = File()
    inputs = [file.input(draw.tensor(2, 8))]
    inputs.append(file.constant(Codes(weights.array, weights.scale, axis=axis)))
    result = Codes(np.empty((2, 8), np.int8), 1e-7)
    output = file.operator("FULLY_CONNECTED", 5, inputs, result, options("FullyConnected"))
    with pytest.raises(ValueError, match=f"FULLY_CONNECTED cannot be.*{message}.*Received: "):
        file.by_integers(output)
