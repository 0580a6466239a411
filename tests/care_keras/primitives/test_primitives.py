"""Every primitive, from its call in Keras to its int8 file."""

import functools

import keras
import numpy as np
import pytest

from care_keras import primitives as p
from care_keras.deploy import DeployModel
from care_keras.metrics import snr_db
from care_keras.quantization import calibrate, int8_ptq, kernel_layers, quantize
from tests.care_keras.helpers import numpy_of, randomize_weights
from tests.care_keras.primitives import formulas as f
from tests.care_keras.primitives.harness import PrimitiveCase, Source, all_checks, arguments

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


def doubled(x):
    return p.Add()([x, x])


def heads(channels, head_dim):
    """1 where a channel is of a head: `(heads, channels)`."""
    return (np.arange(channels) // head_dim == np.arange(channels // head_dim)[:, None]) * 1.0


def swapped(x):
    return np.swapaxes(x, -1, -2)


def in_heads(x):
    """`(batch, heads, pixels, size)`."""
    return p.Permute((2, 1, 3))(p.Reshape((PIXELS, 2, -1))(x))


def five_axes(x):
    return p.Reshape((2, 2, 6, 6))(x)


def five_axes_of_averages(x):
    return p.Reshape((1, 1, 1, 6))(averages(x))


MAP, ROWS = Source(6), Source(6, pixels)
FIVE_AXES, HEADS = Source(6, five_axes), Source(8, in_heads)
ODD = (7, 9)


def windowed(primitive, formula, source=MAP, size=ODD, **kwargs):
    """A case whose formula takes what says where windows lie, and the activation."""
    own = ("filters", "kernel_size", "depth_multiplier", "pool_size", "dense")
    shared = {name: value for name, value in kwargs.items() if name not in own}
    return PrimitiveCase(primitive, [source], functools.partial(formula, **shared), kwargs, size)


def conv(filters, kernel_size, source=MAP, size=ODD, **kwargs):
    kwargs |= {"filters": filters, "kernel_size": kernel_size}
    return windowed(p.Conv2D, f.conv, source, size, **kwargs)


def depthwise(kernel_size, source=MAP, size=ODD, **kwargs):
    return windowed(p.DepthwiseConv2D, f.depthwise, source, size, kernel_size=kernel_size, **kwargs)


def transposed(filters, kernel_size, source=MAP, size=(3, 5), **kwargs):
    kwargs |= {"filters": filters, "kernel_size": kernel_size}
    return windowed(p.TransposedConv2D, f.transposed_conv, source, size, **kwargs)


def pool(primitive, formula, pool_size, strides, padding, size=ODD):
    formula = functools.partial(formula, size=pool_size)
    kwargs = {"pool_size": pool_size, "strides": strides, "padding": padding}
    return windowed(primitive, formula, MAP, size, **kwargs)


def of_one(primitive, formula, source=MAP, **kwargs):
    return PrimitiveCase(primitive, [source], formula, kwargs)


def of_two(primitive, formula, activation):
    """With an activation that changes some of the numbers."""
    source = Source(6, doubled)
    kwargs = {"activation": activation}
    return PrimitiveCase(
        primitive, [source, source], lambda x, y: f.activate(formula(x, y), activation), kwargs
    )


def with_constant(primitive, formula, shape, activation="linear", source=MAP):
    kwargs = {"constant_shape": shape, "activation": activation}
    return PrimitiveCase(
        primitive, [source], lambda x, c: f.activate(formula(x, c), activation), kwargs
    )


def clip(low, high, source=MAP):
    return of_one(p.Clip, lambda x: np.clip(x, low, high), source, low=low, high=high)


def resize(interpolation, factor=None, size=None, image=(HEIGHT, WIDTH), **kwargs):
    formula = {"bilinear": f.bilinear, "nearest": f.nearest}[interpolation]

    def resized(x):
        return formula(x, *(size or np.multiply(x.shape[1:3], factor)), **kwargs)

    arguments = {"factor": factor, "size": size, "interpolation": interpolation, **kwargs}
    return PrimitiveCase(p.Resize, [MAP], resized, arguments, image)


FUSED = ("relu", "relu6", "relu_n1_to_1")

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
    "divide": PrimitiveCase(p.Divide, [MAP, Source(6, positive)], lambda x, y: x / y),
    "divide by one of each pixel": PrimitiveCase(
        p.Divide, [MAP, Source(1, positive)], lambda x, y: x / y
    ),
    "elu": PrimitiveCase(p.Elu, [ROWS], lambda x: np.where(x > 0.0, x, np.expm1(x))),
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
    "product of heads": PrimitiveCase(
        p.MatMul,
        [Source(8, lambda x: p.Transpose()(in_heads(x))), Source(6, in_heads)],
        lambda x, y: x @ y,
        {"transpose_b": False},
    ),
    "product of rows of heads": PrimitiveCase(
        p.MatMul, [HEADS, HEADS], lambda x, y: x @ swapped(y), {"transpose_b": True}
    ),
    "mean of pixels": PrimitiveCase(
        p.Mean, [MAP], lambda x: x.mean((1, 2), keepdims=True), {"axes": [1, 2]}
    ),
    "mean of rows": PrimitiveCase(
        p.Mean, [ROWS], lambda x: x.mean(1, keepdims=True), {"axes": [1]}
    ),
    "mean of groups": PrimitiveCase(
        p.Mean,
        [Source(6, lambda x: p.Reshape((PIXELS, 2, 3))(x))],
        lambda x: x.mean((1, 3), keepdims=True),
        {"axes": [1, 3]},
    ),
    "mean of channels": PrimitiveCase(
        p.Mean, [MAP], lambda x: x.mean(3, keepdims=True), {"axes": [3]}
    ),
    "term of a mean": PrimitiveCase(
        p.MeanTerm, [MAP], lambda x: 4.0 * (x + 1.0) / PIXELS, {"scale": 4.0}
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
    "softmax": PrimitiveCase(p.Softmax, [ROWS], f.softmax),
    "softmax of a map": PrimitiveCase(p.Softmax, [MAP], f.softmax),
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
    "pointwise conv": conv(5, [1, 1], size=(4, 6)),
    "pointwise conv of every other pixel": conv(5, [1, 1], strides=[2, 2], padding="same"),
    "conv": conv(5, [3, 3], padding="same"),
    "conv of no padding": conv(5, [2, 3]),
    "conv of patches": conv(5, [2, 2], size=(4, 6), strides=[2, 2]),
    "conv of patches that overlap": conv(7, [3, 3], Source(8), (8, 6), strides=[2, 2]),
    "conv of odd sizes": conv(5, [3, 3], strides=[2, 2], padding="same"),
    "conv of even sizes": conv(5, [3, 3], size=(8, 6), strides=[2, 2], padding="same"),
    "conv of unequal steps": conv(5, [3, 2], strides=[2, 1], padding="same"),
    "dilated conv": conv(5, [3, 3], padding="same", dilation_rate=[2, 1]),
    "dilated conv of no padding": conv(5, [3, 2], dilation_rate=[1, 3]),
    "conv of groups": conv(8, [3, 3], padding="same", groups=2),
    "conv of groups and steps": conv(9, [3, 3], strides=[2, 2], padding="same", groups=3),
    "pointwise conv of groups": conv(4, [1, 1], groups=2),
    **{f"conv, {name}": conv(5, [3, 3], padding="same", activation=name) for name in FUSED},
    "depthwise": depthwise([3, 5], size=(9, 7), dilation_rate=[2, 1]),
    "depthwise of folded columns": depthwise([7, 3], Source(8), (8, 6), dilation_rate=[1, 2]),
    "depthwise of 8 channels": depthwise([3, 3], Source(8), (8, 6)),
    "depthwise of no padding": depthwise([3, 2], padding="valid"),
    "depthwise as a dense one": depthwise([7, 5], Source(8), (8, 6), dense=True),
    "depthwise as a dense one of all columns": depthwise([3, 7], Source(2), (5, 4), dense=True),
    "depthwise of folded columns, no padding": depthwise(
        [3, 1], Source(8), (8, 6), padding="valid"
    ),
    "depthwise of odd sizes": depthwise([3, 3], strides=[2, 2]),
    "depthwise of even sizes": depthwise([3, 3], Source(8), (8, 6), strides=[2, 2]),
    "depthwise of two kernels": depthwise([3, 3], depth_multiplier=2),
    "depthwise of two kernels and steps": depthwise(
        [3, 3], Source(4), strides=[2, 2], depth_multiplier=2
    ),
    **{f"depthwise, {name}": depthwise([3, 3], activation=name) for name in FUSED},
    "transposed conv": transposed(5, [2, 2], strides=[2, 2]),
    "transposed conv that overlaps": transposed(5, [3, 3], strides=[2, 2], padding="same"),
    "transposed conv of 4 taps": transposed(5, [4, 4], strides=[2, 2], padding="same"),
    "transposed conv, all of it": transposed(5, [3, 4], strides=[2, 2], padding="valid"),
    "transposed conv of one step": transposed(5, [3, 3], strides=[1, 1], padding="same"),
    "transposed conv of large steps": transposed(5, [1, 2], strides=[2, 3], padding="valid"),
    **{
        f"transposed conv, {name}": transposed(5, [3, 3], strides=[2, 2], activation=name)
        for name in FUSED
    },
    **{f"add, {name}": of_two(p.Add, np.add, name) for name in FUSED},
    **{f"subtract, {name}": of_two(p.Subtract, np.subtract, name) for name in FUSED},
    **{f"multiply, {name}": of_two(p.Multiply, np.multiply, name) for name in FUSED},
    "maximum": PrimitiveCase(p.Maximum, [MAP, MAP], np.maximum),
    "maximum with every pixel": PrimitiveCase(p.Maximum, [MAP, Source(6, averages)], np.maximum),
    "minimum": PrimitiveCase(p.Minimum, [ROWS, ROWS], np.minimum),
    "add a number": with_constant(p.AddConstant, np.add, []),
    "add a number to rows": with_constant(p.AddConstant, np.add, [], source=ROWS),
    "add a number for each channel": with_constant(p.AddConstant, np.add, [6]),
    "add a map": with_constant(p.AddConstant, np.add, [HEIGHT, WIDTH, 6]),
    "add a number for each pixel": with_constant(p.AddConstant, np.add, [HEIGHT, WIDTH, 1]),
    "add a constant, relu": with_constant(p.AddConstant, np.add, [6], "relu"),
    "multiply by a number": with_constant(p.MultiplyConstant, np.multiply, []),
    "multiply by one for each channel": with_constant(p.MultiplyConstant, np.multiply, [6]),
    "multiply by a map": with_constant(p.MultiplyConstant, np.multiply, [HEIGHT, WIDTH, 6]),
    "multiply by a constant, relu": with_constant(p.MultiplyConstant, np.multiply, [6], "relu"),
    "maximum of pixels": of_one(p.Max, lambda x: x.max((1, 2), keepdims=True), axes=[1, 2]),
    "maximum of rows": of_one(p.Max, lambda x: x.max(1, keepdims=True), ROWS, axes=[1]),
    "maximum of channels": of_one(p.Max, lambda x: x.max(3, keepdims=True), axes=[3]),
    "place of the maximum": of_one(p.ArgMax, lambda x: x.argmax(-1), keepdims=False),
    "place of the maximum, kept": of_one(
        p.ArgMax, lambda x: x.argmax(-1, keepdims=True), keepdims=True
    ),
    "place of the maximum of rows": of_one(p.ArgMax, lambda x: x.argmax(-1), ROWS, keepdims=False),
    "place of the maximum of a vector": of_one(
        p.ArgMax,
        lambda x: x.argmax(-1),
        Source(6, lambda x: p.SqueezePixels()(averages(x))),
        keepdims=False,
    ),
    "relu": clip(0.0, None),
    "relu6": clip(0.0, 6.0, Source(6, doubled)),
    "relu from -1 to 1": clip(-1.0, 1.0),
    "relu of rows": clip(0.0, None, ROWS),
    "clip": clip(-0.7, 1.3),
    "clip below": clip(-0.5, None),
    "clip above": clip(None, 0.0),
    "leaky relu": of_one(p.LeakyRelu, lambda x: np.where(x > 0.0, x, 0.3 * x), slope=0.3),
    "leaky relu of rows": of_one(
        p.LeakyRelu, lambda x: np.where(x > 0.0, x, 0.01 * x), ROWS, slope=0.01
    ),
    "sigmoid": of_one(p.Sigmoid, lambda x: 1.0 / (1.0 + np.exp(-x))),
    "tanh": of_one(p.Tanh, np.tanh, ROWS),
    "exp": of_one(p.Exp, np.exp),
    "log": of_one(p.Log, np.log, Source(6, positive)),
    "gelu": of_one(p.Gelu, f.gelu, approximate=False),
    "gelu by the hyperbolic tangent": of_one(p.Gelu, f.gelu_tanh, ROWS, approximate=True),
    "hard sigmoid": of_one(p.HardSigmoid, f.hard_sigmoid, Source(6, doubled)),
    "hard sigmoid of rows": of_one(p.HardSigmoid, f.hard_sigmoid, ROWS),
    "hard sigmoid of a vector": of_one(
        p.HardSigmoid, f.hard_sigmoid, Source(6, lambda x: p.SqueezePixels()(averages(x)))
    ),
    "hard swish": of_one(p.HardSwish, lambda x: x * f.hard_sigmoid(x), Source(6, doubled)),
    "hard swish of rows": of_one(p.HardSwish, lambda x: x * f.hard_sigmoid(x), ROWS),
    "concatenate rows": PrimitiveCase(
        p.Concatenate, [ROWS, ROWS], lambda x, y: np.concatenate([x, y], axis=1), {"axis": 1}
    ),
    "concatenate from the end": PrimitiveCase(
        p.Concatenate, [MAP, MAP], lambda x, y: np.concatenate([x, y], axis=-2), {"axis": -2}
    ),
    "reshape": of_one(p.Reshape, lambda x: x.reshape(len(x), PIXELS, 6), target_shape=[-1, 6]),
    "reshape to one axis": of_one(p.Reshape, lambda x: x.reshape(len(x), -1), target_shape=[-1]),
    "reshape to five axes": of_one(
        p.Reshape, lambda x: x.reshape(len(x), 2, 2, 6, 6), target_shape=[2, 2, 6, 6]
    ),
    "permute": of_one(p.Permute, lambda x: x.transpose(0, 3, 1, 2), order=[3, 1, 2]),
    "part": of_one(
        p.Slice,
        lambda x: x[:, 1:3, 2:, :-1],
        begin=[1, 2, 0],
        end=[3, None, -1],
        strides=[1, 1, 1],
    ),
    "part of steps": of_one(
        p.Slice,
        lambda x: x[:, 1:-1, ::2, -5::3],
        begin=[1, 0, -5],
        end=[-1, None, None],
        strides=[1, 2, 3],
    ),
    "pad": of_one(
        p.Pad,
        lambda x: np.pad(x, ((0, 0), (1, 0), (2, 3), (0, 0))),
        paddings=[[1, 0], [2, 3], [0, 0]],
    ),
    "permute five axes": of_one(
        p.Permute, lambda x: x.transpose(0, 2, 1, 4, 3), FIVE_AXES, order=[2, 1, 4, 3]
    ),
    "part of five axes": of_one(
        p.Slice,
        lambda x: x[:, :, 1:, 2:4],
        FIVE_AXES,
        begin=[0, 1, 2, 0],
        end=[None, None, 4, None],
        strides=[1, 1, 1, 1],
    ),
    "part of five axes, of steps": of_one(
        p.Slice,
        lambda x: x[:, :, :, ::2],
        FIVE_AXES,
        begin=[0, 0, 0, 0],
        end=[None, None, None, None],
        strides=[1, 1, 2, 1],
    ),
    "pad five axes": of_one(
        p.Pad,
        lambda x: np.pad(x, ((0, 0), (0, 0), (0, 0), (1, 2), (0, 0))),
        FIVE_AXES,
        paddings=[[0, 0], [0, 0], [1, 2], [0, 0]],
    ),
    "subtract of five axes": PrimitiveCase(
        p.Subtract, [FIVE_AXES, Source(6, five_axes_of_averages)], np.subtract
    ),
    "maximum of five axes": PrimitiveCase(
        p.Maximum, [FIVE_AXES, Source(6, five_axes_of_averages)], np.maximum
    ),
    "pad channels": of_one(
        p.Pad, lambda x: np.pad(x, ((0, 0), (0, 0), (1, 2))), ROWS, paddings=[[0, 0], [1, 2]]
    ),
    **{
        f"{name} pool of {size}, {padding}": pool(kind, formula, size, strides, padding)
        for name, kind, formula in (
            ("max", p.MaxPool2D, f.max_pool),
            ("average", p.AveragePool2D, f.average_pool),
        )
        for size, strides in (([2, 2], [2, 2]), ([3, 3], [2, 2]), ([3, 2], [1, 2]))
        for padding in ("valid", "same")
    },
    "max pool of even sizes": pool(p.MaxPool2D, f.max_pool, [3, 3], [2, 2], "same", (8, 6)),
    "average pool of even sizes": pool(
        p.AveragePool2D, f.average_pool, [3, 3], [2, 2], "same", (8, 6)
    ),
    "max pool of far windows": pool(p.MaxPool2D, f.max_pool, [1, 2], [2, 3], "valid"),
    "average pool of far windows": pool(p.AveragePool2D, f.average_pool, [1, 2], [2, 3], "same"),
    "enlarge": resize("bilinear", [2, 2]),
    "enlarge unequally": resize("bilinear", [3, 2]),
    "resize": resize("bilinear", size=[5, 11]),
    "shrink": resize("bilinear", size=[3, 4], image=ODD),
    "resize by corners": resize("bilinear", size=[5, 11], coordinates="align_corners"),
    "resize by edges": resize("bilinear", size=[5, 11], coordinates="asymmetric"),
    "repeat pixels": resize("nearest", [2, 3]),
    "nearest pixels": resize("nearest", size=[5, 11]),
    "nearest pixels by corners": resize("nearest", size=[5, 11], coordinates="align_corners"),
    "nearest pixels by edges": resize("nearest", size=[5, 11], coordinates="asymmetric"),
    "fewer pixels": resize("nearest", size=[3, 4], image=ODD),
}


@all_checks(CASES)
def test_primitive(case, check):
    check(case)


@pytest.mark.parametrize("name", [name for name in p.__all__ if name != "Primitive"])
def test_has_a_case(name):
    """And each of its arguments too."""
    cases = [case for case in CASES.values() if case.primitive is getattr(p, name)]
    assert cases
    assert arguments(cases[0].primitive) == {key for case in cases for key in case.kwargs}


def test_every_class_of_the_quantized_form_has_a_case():
    kinds = {
        kind
        for kind in vars(kernel_layers).values()
        if isinstance(kind, type) and issubclass(kind, p.Primitive)
    }
    assert len(kinds) == 5
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


def test_a_clip_has_an_end():
    with pytest.raises(ValueError, match="One end.*Received: low=None, high=None"):
        p.Clip()
