"""Arithmetic of several codes against LiteRT."""

import dataclasses

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.care_keras.reference.one_operation import (
    Codes,
    Draw,
    File,
    both,
    check,
    options,
)

SEEDS = range(16)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL"])
def test_two_tensors(name, seed):
    """Of one shape, or a constant that is repeated."""
    draw = Draw(seed)
    shape = (2, 7, 9, draw.integer(8, 40))
    repeated = (shape, shape[-1:], (1,), (1, 7, 1, shape[-1]))[seed % 4]
    tensors = [draw.tensor(*shape)]
    scale = tensors[0].scale * draw.scale(0.5, 2.0)
    tensors.append(Codes(draw.codes(*repeated), scale, draw.integer(-40, 40)))
    file = File()
    handles = [file.input(tensors[0])]
    handles.append(file.input(tensors[1]) if seed % 4 == 0 else file.constant(tensors[1]))
    if seed % 3 == 0:
        handles.reverse()
    real = [(x.array - float(x.zero_point)) * x.scale for x in tensors]
    function = {"ADD": np.add, "SUB": np.subtract, "MUL": np.multiply}[name]
    values = function(*(reversed(real) if seed % 3 == 0 else real))
    # A little more than fits.
    scale = np.ptp(values) / draw.rng.uniform(255, 400)
    zero_point = int(np.clip(-np.mean(values) / scale, -100, 100))
    result = Codes(np.empty(shape, np.int8), scale, zero_point)
    kind = getattr(schema.ActivationFunctionType, ("NONE", "RELU")[seed % 2])
    fields = options(name.capitalize(), fusedActivationFunction=kind)
    check(file, file.operator(name, 2, handles, result, fields))


@pytest.mark.parametrize("ratio", [2.0**-10, 0.001, 0.5, 1.0, 0.99999994, 255.9])
def test_sums_of_steps_at_the_ends_of_what_xnnpack_takes(ratio):
    draw = Draw(0)
    tensors = [Codes(draw.codes(2, 999), step, draw.zero_point()) for step in (0.25 * ratio, 0.25)]
    file = File()
    handles = [file.input(x) for x in tensors]
    result = Codes(tensors[0].array, 0.25, 9)
    check(file, file.operator("ADD", 2, handles, result, options("Add")))


@pytest.mark.parametrize("ratio", [2.0**-11, 256.0])
def test_sums_beyond_that_are_refused(ratio):
    draw = Draw(0)
    tensors = [Codes(draw.codes(2, 9), 0.25 * ratio), Codes(draw.codes(2, 9), 0.25)]
    file = File()
    handles = [file.input(x) for x in tensors]
    result = Codes(tensors[0].array, 0.25, 9)
    output = file.operator("ADD", 2, handles, result, options("Add"))
    with pytest.raises(ValueError, match="ADD cannot be computed.*Received: .*'output'"):
        file.by_integers(output)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["MEAN", "SUM"])
def test_reductions(name, seed):
    draw = Draw(seed)
    axes = ((1, 2), (3,), (1, 2, 3), (1,), (-1, 2))[seed % 5]
    shape = 16, draw.integer(1, 20), draw.integer(1, 20), draw.integer(1, 70)
    x = Codes(draw.codes(*shape), draw.scale(), draw.integer(-2, 2))
    keep = bool(seed % 2)
    file = File()
    inputs = [file.input(x), file.integers(axes)]
    shape = x.array.sum(axes, keepdims=keep).shape
    elements = x.array.size / np.prod(shape)
    # Round ratios give ties.
    ratio = draw.scale(0.2, 2.0) if seed % 4 else 0.5
    scale = x.scale * ratio * (1 if name == "MEAN" else elements**0.5)
    result = Codes(np.empty(shape, np.int8), scale, draw.integer(-60, 60))
    check(file, file.operator(name, 2, inputs, result, options("Reducer", keepDims=keep)))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["REDUCE_MAX", "REDUCE_MIN"])
def test_extremes_over_axes(name, seed):
    draw = Draw(seed)
    axes = ((1, 2), (3,), (1, 2, 3), (1,), (-1, 2))[seed % 5]
    x = draw.tensor(2, draw.integer(1, 20), draw.integer(1, 20), draw.integer(1, 70))
    keep = bool(seed % 2)
    expected = getattr(x.array, name[-3:].lower())(axes, keepdims=keep)
    file = File()
    inputs = [file.input(x), file.integers(axes)]
    result = Codes(expected, x.scale, x.zero_point)
    output = file.operator(name, 2, inputs, result, options("Reducer", keepDims=keep))
    by_litert, codes = both(file, output)
    np.testing.assert_array_equal(by_litert, expected)
    np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_places_of_the_largest(seed):
    """Of few different codes, so that many are equal: the first of them."""
    draw = Draw(seed)
    x = draw.tensor(2, draw.integer(2, 20), draw.integer(2, 20), draw.integer(2, 70))
    x = dataclasses.replace(x, array=x.array // np.int8(50))
    axis = (3, -1, 1, 2)[seed % 4]
    file = File()
    inputs = [file.input(x), file.integers(axis if seed % 2 else [axis])]
    expected = x.array.argmax(axis).astype(np.int32)
    fields = options("ArgMax", outputType=schema.TensorType.INT32)
    by_litert, codes = both(file, file.operator("ARG_MAX", 2, inputs, Codes(expected), fields))
    assert codes.dtype == by_litert.dtype == np.int32
    np.testing.assert_array_equal(by_litert, expected)
    np.testing.assert_array_equal(codes, expected)


def two_sides(draw, seed):
    """A tensor, and one of its shape, or that is repeated."""
    x = draw.tensor(2, draw.integer(1, 5), draw.integer(1, 6), draw.integer(1, 40))
    _, height, _, channels = shape = x.array.shape
    repeated = (shape, (channels,), (1,), (1, height, 1, channels))[seed % 4]
    return x, draw.tensor(*repeated)


def add_both(file, x, y, seed):
    """The second computed or a constant, and now and then the first one."""
    handles = [file.input(x), file.input(y) if seed % 2 else file.constant(y)]
    return handles[::-1] if seed % 3 == 0 else handles


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["MAXIMUM", "MINIMUM"])
def test_extremes_of_two_tensors(name, seed):
    draw = Draw(seed)
    x, y = two_sides(draw, seed)
    y = Codes(y.array, x.scale, x.zero_point)
    expected = getattr(np, name.lower())(x.array, y.array)
    file = File()
    result = Codes(expected, x.scale, x.zero_point)
    inputs = add_both(file, x, y, seed)
    output = file.operator(name, 2, inputs, result, options("MaximumMinimum"))
    by_litert, codes = both(file, output)
    np.testing.assert_array_equal(by_litert, expected)
    np.testing.assert_array_equal(codes, expected)


def test_extremes_of_codes_that_mean_different_numbers_are_refused():
    draw = Draw(0)
    x, y = draw.tensor(2, 9), draw.tensor(2, 9)
    file = File()
    inputs = [file.input(x), file.input(y)]
    output = file.operator("MAXIMUM", 2, inputs, x, options("MaximumMinimum"))
    with pytest.raises(ValueError, match="MAXIMUM cannot be.*differ.*Received: .*'output'"):
        file.by_integers(output)


@pytest.mark.parametrize("seed", range(32))
def test_squared_differences(seed):
    draw = Draw(seed)
    x, y = two_sides(draw, seed)
    ratio = draw.scale(0.5, 500.0)
    if seed % 3 == 0:
        # Ties.
        x, y = (Codes(z.array, 2.0 ** draw.integer(-4, 1), z.zero_point) for z in (x, y))
        ratio = 2.0 ** draw.integer(-6, 8)
    scale = max(x.scale, y.scale) ** 2 * ratio
    result = Codes(x.array, scale, draw.zero_point())
    file = File()
    inputs = add_both(file, x, y, seed)
    output = file.operator("SQUARED_DIFFERENCE", 2, inputs, result, options("SquaredDifference"))
    expected, codes = both(file, output)
    np.testing.assert_array_equal(codes, expected)


def test_a_multiplier_that_ends_the_process_is_refused():
    x = Codes(Draw(0).codes(2, 9), 1.0)
    result = Codes(x.array, 2.0**-12)
    file = File()
    inputs = [file.input(x), file.input(x)]
    output = file.operator("SQUARED_DIFFERENCE", 2, inputs, result, options("SquaredDifference"))
    with pytest.raises(ValueError, match="SQUARED_DIFFERENCE cannot be.*aborts.*Received: "):
        file.by_integers(output)


@pytest.mark.parametrize("seed", range(32))
def test_slopes_of_each_channel(seed):
    """PRELU, of slopes of either sign."""
    draw = Draw(seed)
    x, slopes = two_sides(draw, seed)
    ratio = draw.scale(0.1, 10.0)
    if seed % 3 == 0:
        x, slopes = (Codes(z.array, 2.0 ** draw.integer(-8, 1), z.zero_point) for z in (x, slopes))
        ratio = 2.0 ** draw.integer(-4, 4)
    result = Codes(x.array, x.scale * np.float32(ratio), draw.zero_point())
    file = File()
    inputs = [file.input(x), file.input(slopes) if seed % 2 else file.constant(slopes)]
    expected, codes = both(file, file.operator("PRELU", 1, inputs, result))
    np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_squares(seed):
    """MUL of a tensor with itself."""
    draw = Draw(seed)
    x = draw.tensor(2, 999)
    result = Codes(x.array, x.scale**2 * draw.scale(1.0, 200.0), draw.integer(-128, 50))
    file = File()
    check(file, file.operator("MUL", 2, [file.input(x)] * 2, result, options("Mul")))


@pytest.mark.parametrize("seed", SEEDS)
def test_softmax(seed):
    draw = Draw(seed)
    x = draw.tensor(16, draw.integer(2, 60))
    file = File()
    result = Codes(x.array, 1 / 256, -128)
    fields = options("Softmax", beta=1.0)
    check(file, file.operator("SOFTMAX", 2, [file.input(x)], result, fields))


def test_places_in_a_table():
    """What int8 RSQRT is written as: CAST, ADD of 128, GATHER."""
    draw = Draw(0)
    x, table = draw.tensor(1, 9, 40), draw.tensor(256)
    file = File()
    int32 = Codes(np.empty(x.array.shape, np.int32))
    kinds = {"inDataType": schema.TensorType.INT8, "outDataType": schema.TensorType.INT32}
    codes = file.operator("CAST", 3, [file.input(x)], int32, options("Cast", **kinds))
    places = file.operator("ADD", 1, [codes, file.integers([128])], int32, options("Add"))
    result = Codes(x.array, table.scale, table.zero_point)
    inputs = [file.constant(table), places]
    output = file.operator("GATHER", 2, inputs, result, options("Gather", axis=0))
    expected, gathered = both(file, output)
    np.testing.assert_array_equal(expected, table.array[x.array.astype(int) + 128])
    np.testing.assert_array_equal(gathered, expected)
