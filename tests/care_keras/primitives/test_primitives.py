"""Every primitive, from its call in Keras to its int8 file."""

import math

import keras
import numpy as np
import pytest

from care_keras import primitives as p
from care_keras.deploy import DeployModel
from care_keras.metrics import snr_db
from care_keras.quantization import calibrate, int8_ptq, kernel_layers, quantize
from tests.care_keras.helpers import numpy_of, randomize_weights
from tests.care_keras.primitives.harness import PrimitiveCase, Source, all_checks
from tests.care_keras.primitives.test_folding import depthwise

HEIGHT, WIDTH = 4, 6
PIXELS = HEIGHT * WIDTH


def pixels(x):
    return p.FlattenPixels()(x)


def channel_rows(x):
    return p.Transpose()(pixels(x))


def averages(x):
    return p.Mean((1, 2))(x)


def average_rows(x):
    return p.Mean((1,))(pixels(x))


def covariances(x):
    """`(channels, channels)`."""
    return p.MatMul()([channel_rows(x), pixels(x)])


def positive(x):
    """Far enough from 0 to divide by, and in int8 from a code of -128 on."""
    return p.AddOne()(p.Multiply()([x, x]))


def conv(x, kernel, bias, strides=1):
    """A convolution that pads nothing."""
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(1, 2))
    windows = windows[:, ::strides, ::strides]
    return np.einsum("bhwcij,ijco->bhwo", windows, kernel) + bias


def heads(channels, head_dim):
    """1 where a channel is of a head: `(heads, channels)`."""
    return (np.arange(channels) // head_dim == np.arange(channels // head_dim)[:, None]) * 1.0


def gelu(x):
    return 0.5 * x * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))


def softmax(x):
    powers = np.exp(x)
    return powers / powers.sum(axis=-1, keepdims=True)


def swapped(x):
    return np.swapaxes(x, -1, -2)


MAP, ROWS = Source(6), Source(6, pixels)

CASES = {
    "add": PrimitiveCase(p.Add, [MAP, MAP], lambda x, y: x + y),
    "add to every pixel": PrimitiveCase(p.Add, [MAP, Source(6, averages)], lambda x, y: x + y),
    "add every pixel": PrimitiveCase(p.Add, [Source(6, averages), MAP], lambda x, y: x + y),
    "add epsilon": PrimitiveCase(
        p.AddEpsilon, [MAP], lambda x: x + 0.25, {"epsilon": 0.25, "per_pixel": False}
    ),
    "add epsilon per pixel": PrimitiveCase(
        p.AddEpsilon, [ROWS], lambda x: x + 0.25 * PIXELS, {"epsilon": 0.25, "per_pixel": True}
    ),
    "add one": PrimitiveCase(p.AddOne, [ROWS], lambda x: x + 1.0),
    "channel scale": PrimitiveCase(p.ChannelScale, [MAP], lambda x, kernel: x * kernel),
    "slice": PrimitiveCase(p.ChannelSlice, [MAP], lambda x: x[..., 2:5], {"start": 2, "size": 3}),
    "slice of pixels": PrimitiveCase(
        p.ChannelSlice, [ROWS], lambda x: x[..., 1:3], {"start": 1, "size": 2}
    ),
    "concatenate": PrimitiveCase(
        p.Concatenate,
        [MAP, Source(3), Source(8)],
        lambda *arrays: np.concatenate(arrays, axis=-1),
    ),
    "concatenate pixels": PrimitiveCase(
        p.Concatenate, [ROWS, Source(2, pixels)], lambda x, y: np.concatenate([x, y], axis=-1)
    ),
    "pointwise conv": PrimitiveCase(
        p.Conv2D, [MAP], conv, {"filters": 5, "kernel_size": 1, "strides": 1}
    ),
    "conv of patches": PrimitiveCase(
        p.Conv2D,
        [MAP],
        lambda *arrays: conv(*arrays, strides=2),
        {"filters": 5, "kernel_size": 2, "strides": 2},
    ),
    "conv of patches that overlap": PrimitiveCase(
        p.Conv2D,
        [Source(8)],
        lambda *arrays: conv(*arrays, strides=2),
        {"filters": 7, "kernel_size": 3, "strides": 2},
        size=(8, 6),
    ),
    "depthwise": PrimitiveCase(
        p.DepthwiseConv2D,
        [MAP],
        lambda *arrays: depthwise(*arrays, (2, 1)),
        {"kernel_size": [3, 5], "dilation_rate": [2, 1]},
        size=(9, 7),
    ),
    "depthwise of folded columns": PrimitiveCase(
        p.DepthwiseConv2D,
        [Source(8)],
        lambda *arrays: depthwise(*arrays, (1, 2)),
        {"kernel_size": [7, 3], "dilation_rate": [1, 2]},
        size=(8, 6),
    ),
    "divide": PrimitiveCase(p.Divide, [MAP, Source(6, positive)], lambda x, y: x / y),
    "divide by one of each pixel": PrimitiveCase(
        p.Divide, [MAP, Source(1, positive)], lambda x, y: x / y
    ),
    "elu": PrimitiveCase(p.Elu, [ROWS], lambda x: np.where(x > 0.0, x, np.expm1(x))),
    "gelu": PrimitiveCase(p.Gelu, [MAP], gelu),
    "flatten": PrimitiveCase(p.FlattenPixels, [MAP], lambda x: x.reshape(len(x), PIXELS, 6)),
    "head mask": PrimitiveCase(
        p.HeadMask,
        [Source(6, covariances)],
        lambda x: x * (heads(6, 2).T @ heads(6, 2)),
        {"head_dim": 2},
    ),
    "product of pixels": PrimitiveCase(
        p.MatMul, [Source(4, channel_rows), ROWS], lambda x, y: x @ y, {"transpose_b": False}
    ),
    "product of channels": PrimitiveCase(
        p.MatMul, [ROWS, Source(6, channel_rows)], lambda x, y: x @ y, {"transpose_b": False}
    ),
    "product of one column": PrimitiveCase(
        p.MatMul,
        [Source(4, channel_rows), Source(1, pixels)],
        lambda x, y: x @ y,
        {"transpose_b": False},
    ),
    "product of rows": PrimitiveCase(
        p.MatMul, [ROWS, ROWS], lambda x, y: x @ swapped(y), {"transpose_b": True}
    ),
    "mean of pixels": PrimitiveCase(
        p.Mean, [MAP], lambda x: x.mean((1, 2), keepdims=True), {"axes": [1, 2]}
    ),
    "mean of rows": PrimitiveCase(
        p.Mean, [ROWS], lambda x: x.mean(1, keepdims=True), {"axes": [1]}
    ),
    "mean of channels": PrimitiveCase(
        p.Mean, [MAP], lambda x: x.mean(3, keepdims=True), {"axes": [3]}
    ),
    "multiply": PrimitiveCase(p.Multiply, [ROWS, ROWS], lambda x, y: x * y),
    "multiply every pixel": PrimitiveCase(
        p.Multiply, [MAP, Source(6, averages)], lambda x, y: x * y
    ),
    "multiply by one of each pixel": PrimitiveCase(
        p.Multiply, [MAP, Source(1)], lambda x, y: x * y
    ),
    "repeat heads": PrimitiveCase(
        p.RepeatHeads, [ROWS], lambda x: np.repeat(x, 3, axis=-1), {"head_dim": 3}
    ),
    "rsqrt": PrimitiveCase(p.Rsqrt, [Source(6, positive)], lambda x: 1.0 / np.sqrt(x)),
    "softmax": PrimitiveCase(p.Softmax, [ROWS], softmax),
    "squeeze": PrimitiveCase(
        p.SqueezePixels, [Source(6, averages)], lambda x: x.reshape(len(x), 6)
    ),
    "subtract": PrimitiveCase(p.Subtract, [MAP, MAP], lambda x, y: x - y),
    "subtract from every pixel": PrimitiveCase(
        p.Subtract, [MAP, Source(6, averages)], lambda x, y: x - y
    ),
    "sum over pixels": PrimitiveCase(
        p.SumOverPixels,
        [Source(6, average_rows), ROWS],
        lambda mean, of: mean * heads(6, 2) * PIXELS,
        {"head_dim": 2},
    ),
    "transpose": PrimitiveCase(p.Transpose, [ROWS], swapped),
    "transpose of a map": PrimitiveCase(p.Transpose, [MAP], swapped),
    "unflatten": PrimitiveCase(
        p.UnflattenPixels,
        [ROWS, Source(4)],
        lambda x, like: x.reshape(len(x), HEIGHT, WIDTH, 6),
    ),
}


@all_checks(CASES)
def test_primitive(case, check):
    check(case)


@pytest.mark.parametrize("name", [name for name in p.__all__ if name != "Primitive"])
def test_has_a_case(name):
    assert getattr(p, name) in {case.primitive for case in CASES.values()}


def test_every_class_of_the_quantized_form_has_a_case():
    kinds = {
        kind
        for kind in vars(kernel_layers).values()
        if isinstance(kind, type) and issubclass(kind, p.Primitive)
    }
    assert len(kinds) == 4
    assert kinds <= {case.primitive.quantized() for case in CASES.values()}


@pytest.mark.parametrize("origin", ["the map", "another map", "a map that is not rounded"])
def test_calibration_where_pixels_become_a_map(origin):
    """Only an attention gives pixels that come from the map of their shape, or starts from a slice.

    Calibration looks for attentions by their ends.
    """
    images = keras.Input((4, 6, 3), name="images")
    like = p.Conv2D(6, name="like")(images)
    start = like if origin == "the map" else p.Conv2D(5, name="other")(images)
    if origin == "a map that is not rounded":
        like = p.ChannelSlice(0, 2)(like)
    rows = p.Gelu()(p.FlattenPixels()(start))
    model = DeployModel(images, p.UnflattenPixels()([rows, like]))
    randomize_weights(model)
    config = int8_ptq(raw_pixels=False)
    form = quantize(model, config)
    values = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype("float32")
    calibrate(form, [values], config)
    outputs, expected = (numpy_of(one(values)) for one in (form, model))
    assert snr_db(outputs, expected) > 20.0
