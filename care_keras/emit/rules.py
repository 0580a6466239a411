"""How each primitive is written: one rule a class, for float32 and for int8.

A rule takes the emitter, the layer and the handles of its inputs, and returns
the handle of its output. What the tensors of a rule hold, float32 or int8,
decides the form it writes.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from care_keras import primitives as p
from care_keras.tflite_file.writer import Quantization

RULES = {}
# Versions of the operators for float32, int8 and, where the quantized form has it, int16 tensors:
# TensorFlow's tensorflow/lite/tools/versioning/op_version.cc.
_VERSIONS = {
    "ADD": (1, 2, 3),
    "BATCH_MATMUL": (1, 2, 3),
    "CONCATENATION": (1, 2, 3),
    "CONV_2D": (1, 3, 4),
    "ELU": (1, 1),
    "FULLY_CONNECTED": (5, 5),
    "GELU": (1, 2),
    "MEAN": (1, 2, 3),
    "RESHAPE": (1, 1, 1),
    "RSQRT": (1, 2),
    "SLICE": (1, 2, 4),
    "SOFTMAX": (1, 2),
    "SPACE_TO_DEPTH": (1, 2),
    "SUB": (1, 2, 5),
    "TRANSPOSE": (1, 2, 5),
}
# Channels that XNNPACK's int8 depthwise kernels work on at a time.
_DEPTHWISE_CHANNELS = 16
_PRECISIONS = (np.float32, np.int8, np.int16)
# SOFTMAX's int8 kernel has this output and no other.
SOFTMAX_QUANTIZATION = Quantization(np.asarray([1 / 256], np.float32), -128)
_NO_ACTIVATION = schema.ActivationFunctionType.NONE


def rule(primitive):
    """Registers a rule for a class and its subclasses."""

    def register(function):
        RULES[primitive] = function
        return function

    return register


def find_rule(layer):
    """The rule of a layer's class or of its nearest base, or `None`."""
    return next((RULES[base] for base in type(layer).__mro__ if base in RULES), None)


def _options(kind, **fields):
    options = getattr(schema, f"{kind}OptionsT")()
    for name, value in fields.items():
        setattr(options, name, value)
    return options


def _operator(emit, name, inputs, output, options=None):
    version = _VERSIONS[name][_PRECISIONS.index(output.dtype)]
    return emit.writer.operator(name, version, inputs, output, options)


def _int32(emit, values, name):
    return emit.writer.constant(name, np.asarray(values, np.int32))


def _integer_constant(emit, layer, codes, scale):
    """An int8 constant of small integers times one step."""
    quantization = Quantization(np.asarray([scale], np.float32))
    return emit.writer.constant(f"{layer.name}/constant", codes.astype(np.int8), quantization)


def _float_constant(emit, layer, values, suffix="constant"):
    return emit.weight(f"{layer.name}/{suffix}", np.asarray(values, np.float32))


@rule(p.Conv2D)
def _conv(emit, layer, x):
    output = emit.output(layer, x)
    strides, to_tflite = (layer.strides, layer.strides), lambda k: k.transpose(3, 0, 1, 2)
    if output.dtype == np.int8 and _has_odd_patches(layer, x):
        x, strides = _patches_as_channels(emit, layer, x), (1, 1)

        def to_tflite(k):
            return k.transpose(3, 0, 1, 2).reshape(k.shape[3], 1, 1, -1)

    kernel, bias = emit.conv_weights(layer, x, output, to_tflite, axis=0)
    options = _options(
        "Conv2D",
        padding=schema.Padding.VALID,
        strideH=strides[0],
        strideW=strides[1],
        dilationWFactor=1,
        dilationHFactor=1,
        fusedActivationFunction=_NO_ACTIVATION,
    )
    return _operator(emit, "CONV_2D", [x, kernel, bias], output, options)


def _has_odd_patches(layer, x):
    """Whether patches do not overlap, fill the image, and have channels that fill no register."""
    size = layer.kernel_size
    fits = all(side % size == 0 for side in x.shape[1:3])
    return size == layer.strides > 1 and fits and x.shape[3] % 8 != 0


def _patches_as_channels(emit, layer, x):
    """Each patch as a pixel.

    XNNPACK's int8 kernels read 8 channels at a time: S0's stem, 4x4 on three
    channels, takes 452 us as it is and 177 so (AVX2).
    """
    batch, height, width, channels = x.shape
    size = layer.kernel_size
    shape = (batch, height // size, width // size, size * size * channels)
    patches = emit.writer.tensor(f"{layer.name}/patches", shape, np.int8, x.quantization)
    return _operator(emit, "SPACE_TO_DEPTH", [x], patches, _options("SpaceToDepth", blockSize=size))


def _depthwise_operator(emit, inputs, output, dilation_rate):
    options = _options(
        "DepthwiseConv2D",
        padding=schema.Padding.SAME,
        strideW=1,
        strideH=1,
        depthMultiplier=1,
        dilationHFactor=dilation_rate[0],
        dilationWFactor=dilation_rate[1],
        fusedActivationFunction=_NO_ACTIVATION,
    )
    dilated = tuple(dilation_rate) != (1, 1)
    version = {np.int8: 3, np.int16: 5}.get(output.dtype.type, 2 if dilated else 1)
    return emit.writer.operator("DEPTHWISE_CONV_2D", version, inputs, output, options)


@rule(p.DepthwiseConv2D)
def _depthwise(emit, layer, x):
    output = emit.output(layer, x)
    fold = _columns_to_fold(layer, x) if output.dtype == np.int8 else 1
    if fold == 1:
        kernel, bias = emit.conv_weights(layer, x, output, _depthwise_layout, axis=3)
        return _depthwise_operator(emit, [x, kernel, bias], output, layer.dilation_rate)
    batch, height, width, channels = x.shape
    shape = (batch, height, width // fold, channels * fold)
    folded = emit.like(f"{layer.name}/folded", x, shape)
    folded = _reshape_operator(emit, f"{layer.name}/folded", x, folded)
    kernel, bias = emit.conv_weights(layer, x, output, _depthwise_layout, axis=3, repeats=fold)
    vertical, horizontal = layer.dilation_rate
    dilation_rate = vertical, max(horizontal // fold, 1)
    result = emit.like(f"{layer.name}/unfolded", output, shape)
    result = _depthwise_operator(emit, [folded, kernel, bias], result, dilation_rate)
    return _reshape_operator(emit, layer.name, result, output)


def _depthwise_layout(kernel):
    return kernel.transpose(3, 0, 1, 2)


def _columns_to_fold(layer, x):
    """How many pixels beside each other to write as one of that many times the channels.

    XNNPACK's int8 depthwise kernels work on 16 channels at a time, and 8 take
    as long: on 56x56x8 a 7x3 takes 0.75 of the time so and a 9x1 0.80, both
    RESHAPEs included (AVX2). It is exact where every tap is a whole number of
    such pixels away.
    """
    _, _, width, channels = x.shape
    fold = _DEPTHWISE_CHANNELS // channels
    taps = layer.kernel_size[1]
    whole = taps == 1 or (taps % 2 == 1 and layer.dilation_rate[1] % max(fold, 1) == 0)
    fits = fold > 1 and channels * fold == _DEPTHWISE_CHANNELS and width % fold == 0
    return fold if whole and fits else 1


@rule(p.ChannelScale)
def _channel_scale(emit, layer, x):
    output = emit.output(layer, x)
    if output.dtype == np.float32:
        factors = _float_constant(emit, layer, layer.kernel)
        return _multiply_operator(emit, [x, factors], output)
    codes, scales = layer.kernel_codes()
    kernel = emit.writer.constant(
        f"{layer.name}/kernel", codes.reshape(1, 1, 1, -1), Quantization(scales, axis=3)
    )
    bias = emit.integer_bias(layer.name, np.zeros(len(scales)), x, scales)
    return _depthwise_operator(emit, [x, kernel, bias], output, (1, 1))


@rule(p.ChannelAffine)
def _channel_affine(emit, layer, x):
    scaled = emit.float_tensor(f"{layer.name}/scaled", x.shape)
    _multiply_operator(emit, [x, _float_constant(emit, layer, layer.scale, "scale")], scaled)
    offset = _float_constant(emit, layer, layer.offset, "offset")
    options = _options("Add", fusedActivationFunction=_NO_ACTIVATION)
    return _operator(emit, "ADD", [scaled, offset], emit.output(layer, x), options)


@rule(p.Add)
def _add(emit, layer, inputs):
    return _sum_operator(emit, "Add", inputs, emit.output(layer, inputs))


@rule(p.Subtract)
def _subtract(emit, layer, inputs):
    return _sum_operator(emit, "Sub", inputs, emit.output(layer, inputs))


def _sum_operator(emit, kind, inputs, output):
    options = _options(kind, fusedActivationFunction=_NO_ACTIVATION)
    if output.dtype == np.int16:
        # Or steps would have to be powers of two.
        options.potScaleInt16 = False
    return _operator(emit, kind.upper(), inputs, output, options)


def _multiply_operator(emit, inputs, output):
    version = 1
    if output.dtype == np.int8:
        steps = [handle.quantization.scale for handle in inputs]
        version = 3 if steps[0] * steps[1] >= output.quantization.scale else 2
    options = _options("Mul", fusedActivationFunction=_NO_ACTIVATION)
    return emit.writer.operator("MUL", version, inputs, output, options)


@rule(p.Multiply)
def _multiply(emit, layer, inputs):
    return _multiply_operator(emit, inputs, emit.output(layer, inputs))


@rule(p.Divide)
def _divide(emit, layer, inputs):
    options = _options("Div", fusedActivationFunction=_NO_ACTIVATION)
    return emit.writer.operator("DIV", 1, inputs, emit.output(layer, inputs), options)


@rule(p.AddOne)
def _add_one(emit, layer, x):
    output = emit.output(layer, x)
    if output.dtype == np.float32:
        one = _float_constant(emit, layer, [1.0])
    else:
        # The finer step where XNNPACK's ADD takes it: a term of at least 2^-10 of the sum's step.
        codes = 127 if output.quantization.scale <= 2.0**10 / 127 else 1
        one = _integer_constant(emit, layer, np.asarray([codes]), 1 / codes)
    options = _options("Add", fusedActivationFunction=_NO_ACTIVATION)
    return _operator(emit, "ADD", [x, one], output, options)


@rule(p.AddEpsilon)
def _add_epsilon(emit, layer, x):
    epsilon = layer.epsilon * (x.shape[1] if layer.per_pixel else 1)
    options = _options("Add", fusedActivationFunction=_NO_ACTIVATION)
    inputs = [x, _float_constant(emit, layer, [epsilon])]
    return _operator(emit, "ADD", inputs, emit.output(layer, x), options)


@rule(p.MatMul)
def _matmul(emit, layer, inputs):
    left, right = inputs
    transposed = layer.transpose_b
    if left is right:
        # LiteRT's GPU accelerator ends the process on a product of a tensor with itself.
        copy = emit.like(f"{layer.name}/right", right, right.shape)
        right = _reshape_operator(emit, layer.name, right, copy)
    if right.dtype == np.int8 and not transposed and right.shape[-1] > 1:
        right, transposed = _columns_as_rows(emit, layer.name, right), True
    options = _options("BatchMatMul", adjX=False, adjY=transposed)
    return _operator(emit, "BATCH_MATMUL", [left, right], emit.output(layer, inputs), options)


def _columns_as_rows(emit, name, x):
    """`x` with its last two axes swapped, for an int8 BATCH_MATMUL that reads its rows.

    With two or more threads XNNPACK on ARM64 packs columns wrongly, more than
    one tile of them (16): LiteRT 2.0 to 2.3 on Cortex-A53 and cores with i8mm,
    2.0 and 2.1.0 on Cortex-A76 too. Rows are right on all. XNNPACK would undo a
    TRANSPOSE of the last two axes right before the product, so that one of four
    axes and a RESHAPE stand there.
    """
    *batch, rows, columns = x.shape
    # Of a map whose pixels were joined the map itself is taken.
    pixels = emit.maps.get(x.index)
    if pixels is None:
        count = int(np.prod(batch, dtype=int))
        pixels = emit.like(f"{name}/right_pixels", x, (count, rows, 1, columns))
        pixels = _reshape_operator(emit, f"{name}/right_pixels", x, pixels)
    first, height, width, _ = pixels.shape
    swapped = emit.like(f"{name}/right_transposed", x, (first, columns, height, width))
    x = _transpose_operator(emit, f"{name}/right", pixels, (0, 3, 1, 2), swapped)
    return _reshape_operator(
        emit, f"{name}/right_rows", x, emit.like(f"{name}/right_rows", x, (*batch, columns, rows))
    )


@rule(p.Mean)
def _mean(emit, layer, x):
    axes = _int32(emit, layer.axes, f"{layer.name}/axes")
    options = _options("Reducer", keepDims=True)
    return _operator(emit, "MEAN", [x, axes], emit.output(layer, x), options)


@rule(p.HeadMask)
def _head_mask(emit, layer, x):
    output = emit.output(layer, x, keeps_values=True)
    mask = layer.mask(x.shape[-1])[None]
    if output.dtype == np.float32:
        constant = _float_constant(emit, layer, mask)
    else:
        constant = _integer_constant(emit, layer, mask, 1.0)
    return _multiply_operator(emit, [x, constant], output)


@rule(p.SumOverPixels)
def _sum_over_pixels(emit, layer, inputs):
    mean, of = inputs
    output = emit.output(layer, inputs)
    heads = layer.head_matrix(mean.shape[-1])[None]
    pixels = of.shape[1]
    if output.dtype == np.float32:
        constant = _float_constant(emit, layer, heads * pixels)
    else:
        constant = _integer_constant(emit, layer, heads, pixels)
    return _multiply_operator(emit, [mean, constant], output)


@rule(p.RepeatHeads)
def _repeat_heads(emit, layer, x):
    output = emit.output(layer, x, keeps_values=True)
    heads = layer.head_matrix(output.shape[-1]).T
    if output.dtype == np.float32:
        kernel = _float_constant(emit, layer, heads)
        bias = emit.writer.constant(f"{layer.name}/bias", np.zeros(len(heads), np.float32))
    else:
        kernel = _integer_constant(emit, layer, heads, 1.0)
        bias = emit.integer_bias(layer.name, np.zeros(len(heads)), x, np.ones(1, np.float32))
    options = _options(
        "FullyConnected", fusedActivationFunction=_NO_ACTIVATION, weightsFormat=0, keepNumDims=True
    )
    return _operator(emit, "FULLY_CONNECTED", [x, kernel, bias], output, options)


@rule(p.ChannelSlice)
def _channel_slice(emit, layer, x):
    output = emit.output(layer, x, keeps_values=True)
    begin = _int32(emit, (*[0] * (len(x.shape) - 1), layer.start), f"{layer.name}/begin")
    size = _int32(emit, output.shape, f"{layer.name}/size")
    return _operator(emit, "SLICE", [x, begin, size], output, _options("Slice"))


@rule(p.Concatenate)
def _concatenate(emit, layer, inputs):
    output = emit.output(layer, inputs, keeps_values=True)
    options = _options(
        "Concatenation", axis=len(output.shape) - 1, fusedActivationFunction=_NO_ACTIVATION
    )
    return _operator(emit, "CONCATENATION", inputs, output, options)


def _reshape(emit, layer, x, shape_of):
    output = emit.output(layer, shape_of, keeps_values=True)
    return _reshape_operator(emit, layer.name, x, output)


def _reshape_operator(emit, name, x, output):
    shape = _int32(emit, output.shape, f"{name}/shape")
    options = _options("Reshape", newShape=np.asarray(output.shape, np.int32))
    return _operator(emit, "RESHAPE", [x, shape], output, options)


@rule(p.FlattenPixels)
def _flatten_pixels(emit, layer, x):
    output = _reshape(emit, layer, x, x)
    emit.maps[output.index] = x
    return output


@rule(p.UnflattenPixels)
def _unflatten_pixels(emit, layer, inputs):
    return _reshape(emit, layer, inputs[0], inputs)


@rule(p.SqueezePixels)
def _squeeze_pixels(emit, layer, x):
    return _reshape(emit, layer, x, x)


@rule(p.Transpose)
def _transpose(emit, layer, x):
    rank = len(x.shape)
    order = (*range(rank - 2), rank - 1, rank - 2)
    output = emit.output(layer, x, keeps_values=True)
    return _transpose_operator(emit, layer.name, x, order, output)


def _transpose_operator(emit, name, x, order, output):
    permutation = _int32(emit, order, f"{name}/permutation")
    return _operator(emit, "TRANSPOSE", [x, permutation], output, _options("Transpose"))


@rule(p.Gelu)
def _gelu(emit, layer, x):
    return _operator(emit, "GELU", [x], emit.output(layer, x), _options("Gelu", approximate=False))


@rule(p.Elu)
def _elu(emit, layer, x):
    return _operator(emit, "ELU", [x], emit.output(layer, x))


@rule(p.Rsqrt)
def _rsqrt(emit, layer, x):
    output = emit.output(layer, x)
    if output.dtype == np.int8 and x.quantization.zero_point != -128:
        # Its int8 kernel gives up on codes below that of 0.
        raise ValueError(
            "The int8 range of what a root is taken of must begin at 0: calibrate again. "
            f"Received: a zero point of {x.quantization.zero_point} at the layer {layer.name!r}"
        )
    return _operator(emit, "RSQRT", [x], output)


@rule(p.Softmax)
def _softmax(emit, layer, x):
    return _operator(emit, "SOFTMAX", [x], emit.output(layer, x), _options("Softmax", beta=1.0))
