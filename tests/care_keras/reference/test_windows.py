"""Pooling and resizing against LiteRT, on random shapes, steps and zero points."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.care_keras.reference.one_operation import (
    Codes,
    Draw,
    File,
    activation,
    both,
    options,
)

SEEDS = range(24)
# `(alignCorners, halfPixelCenters)`.
CORNERS = [(False, True), (False, False), (True, False)]


def pool(name, x, size, strides, padding, fused):
    same = padding == schema.Padding.SAME
    height, width = (
        -(-n // stride) if same else (n - taps) // stride + 1
        for n, taps, stride in zip(x.array.shape[1:3], size, strides, strict=True)
    )
    batch, *_, channels = x.array.shape
    result = Codes(np.empty((batch, height, width, channels), np.int8), x.scale, x.zero_point)
    fields = {
        "padding": padding,
        "strideH": strides[0],
        "strideW": strides[1],
        "filterHeight": size[0],
        "filterWidth": size[1],
        "fusedActivationFunction": fused,
    }
    file = File()
    return file, file.operator(name, 2, [file.input(x)], result, options("Pool2D", **fields))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["MAX_POOL_2D", "AVERAGE_POOL_2D"])
def test_pools(name, seed):
    """Of one pixel too, and with steps larger than their windows."""
    draw = Draw(seed)
    x = Codes(
        draw.codes(2, draw.integer(4, 12), draw.integer(4, 12), draw.integer(1, 40)),
        draw.scale(),
        draw.integer(-100, 100),
    )
    size, strides = ((draw.integer(1, most), draw.integer(1, most)) for most in (4, 3))
    file, output = pool(name, x, size, strides, draw.integer(0, 1), activation(seed))
    expected, codes = both(file, output)
    np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize("seed", range(4))
def test_average_pools_of_large_windows(seed):
    draw = Draw(seed)
    size, strides = (
        (draw.integer(5, 30), draw.integer(5, 30)),
        (draw.integer(1, 9), draw.integer(1, 9)),
    )
    file, output = pool("AVERAGE_POOL_2D", draw.tensor(1, 37, 41, 9), size, strides, seed % 2, 0)
    expected, codes = both(file, output)
    np.testing.assert_array_equal(codes, expected)


def resize(name, x, size, corners):
    aligned, centers = corners
    batch, *_, channels = x.array.shape
    result = Codes(np.empty((batch, *size, channels), np.int8), x.scale, x.zero_point)
    kind = {
        "RESIZE_BILINEAR": "ResizeBilinear",
        "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighbor",
    }[name]
    fields = options(kind, alignCorners=aligned, halfPixelCenters=centers)
    file = File()
    inputs = [file.input(x), file.integers(size)]
    return file, file.operator(name, 3, inputs, result, fields)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"])
def test_resizing(name, seed):
    """Down to one pixel, and by factors whose float32 is not exact."""
    draw = Draw(seed)
    largest = 300 if seed % 2 else 12
    x = draw.tensor(2, draw.integer(1, largest), draw.integer(1, largest), draw.integer(1, 20))
    size = draw.integer(1, largest + 9), draw.integer(1, largest + 9)
    file, output = resize(name, x, size, CORNERS[seed % 3])
    expected, codes = both(file, output)
    np.testing.assert_array_equal(codes, expected)


def test_pixels_taken_by_corners_and_centers():
    """Both options of RESIZE_NEAREST_NEIGHBOR at once."""
    file, output = resize("RESIZE_NEAREST_NEIGHBOR", Draw(0).tensor(2, 7, 5, 3), (9, 13), (1, 1))
    expected, codes = both(file, output)
    np.testing.assert_array_equal(codes, expected)


def test_both_corners_and_centers_are_refused():
    file, output = resize("RESIZE_BILINEAR", Draw(0).tensor(2, 7, 5, 3), (9, 13), (True, True))
    with pytest.raises(ValueError, match="RESIZE_BILINEAR cannot be.*both.*Received: .*'output'"):
        file.by_integers(output)


def test_codes_that_would_mean_another_number_are_not_pooled():
    x = Draw(0).tensor(1, 4, 4, 3)
    result = Codes(np.empty((1, 2, 2, 3), np.int8), x.scale, x.zero_point - 1)
    fields = options("Pool2D", strideH=2, strideW=2, filterHeight=2, filterWidth=2)
    file = File()
    output = file.operator("MAX_POOL_2D", 2, [file.input(x)], result, fields)
    with pytest.raises(ValueError, match="MAX_POOL_2D cannot be .*differ.*Received: .*'output'"):
        file.by_integers(output)
