"""Convolutions and matrix products."""

import numpy as np

from care_keras import primitives as p
from care_keras.emit.integer_bias import integer_bias
from care_keras.emit.rules import operators as o
from care_keras.emit.rules.registry import rule
from care_keras.tflite_file.writer import Quantization

# Channels that XNNPACK's depthwise kernels work on at a time: in int8, and in float32 on AVX-512.
_DEPTHWISE_CHANNELS = 16


@rule(p.Conv2D)
def _conv(emit, layer, x):
    output = emit.output(layer, x)
    strides, to_tflite = layer.strides, lambda k: k.transpose(3, 0, 1, 2)
    if output.dtype == np.int8 and _has_odd_patches(layer, x):
        x, strides = _patches_as_channels(emit, layer, x), (1, 1)

        def to_tflite(k):
            return k.transpose(3, 0, 1, 2).reshape(k.shape[3], 1, 1, -1)

    kernel, bias = emit.conv_weights(layer, x, output, to_tflite, axis=0)
    inputs = [x, kernel, bias]
    version = 6 if layer.groups > 1 else None
    return _conv_operator(emit, layer, inputs, output, strides, layer.dilation_rate, version)


def _conv_operator(emit, layer, inputs, output, strides, dilation_rate, version=None):
    options = o.options(
        "Conv2D",
        padding=o.PADDINGS[layer.padding],
        strideH=strides[0],
        strideW=strides[1],
        dilationHFactor=dilation_rate[0],
        dilationWFactor=dilation_rate[1],
        fusedActivationFunction=o.activation(layer),
    )
    return o.operator(emit, "CONV_2D", inputs, output, options, version)


def _has_odd_patches(layer, x):
    """Whether patches do not overlap, fill the image, and have channels that fill no register."""
    size = layer.kernel_size[0]
    whole = layer.kernel_size == layer.strides == (size, size) and size > 1
    fits = whole and all(side % size == 0 for side in x.shape[1:3])
    plain = layer.groups == 1 and layer.dilation_rate == (1, 1)
    return fits and plain and x.shape[3] % 8 != 0


def _patches_as_channels(emit, layer, x):
    """Each patch as a pixel.

    XNNPACK's int8 kernels read 8 channels at a time: S0's stem, 4x4 on three
    channels, takes 452 us as it is and 177 so (AVX2).
    """
    batch, height, width, channels = x.shape
    size = layer.kernel_size[0]
    shape = (batch, height // size, width // size, size * size * channels)
    patches = emit.writer.tensor(f"{layer.name}/patches", shape, np.int8, x.quantization)
    return o.operator(
        emit, "SPACE_TO_DEPTH", [x], patches, o.options("SpaceToDepth", blockSize=size)
    )


def _depthwise_operator(emit, layer, inputs, output, dilation_rate):
    return o.depthwise(
        emit,
        inputs,
        output,
        padding=layer.padding,
        strides=layer.strides,
        dilation_rate=dilation_rate,
        multiplier=layer.depth_multiplier,
        fused=o.activation(layer),
    )


@rule(p.DepthwiseConv2D)
def _depthwise(emit, layer, x):
    output = emit.output(layer, x)
    dense = layer.dense and output.dtype == np.int8
    # GPUs, which float files are for too, have nothing of it.
    folds = output.dtype == np.int8 or (output.dtype == np.float32 and emit.target == "xnnpack")
    fold = _columns_to_fold(layer, x, dense) if folds else 1
    layout, axis = (_dense_layout, 0) if dense else (_depthwise_layout, 3)
    kernel, bias = emit.conv_weights(
        layer, x, output, lambda k: layout(k, fold), axis, repeats=fold
    )
    batch, height, width, channels = x.shape
    shape = (batch, height, width // fold, channels * fold)
    source, result = x, output
    if fold > 1:
        source = emit.like(f"{layer.name}/folded", x, shape)
        source = o.reshape(emit, f"{layer.name}/folded", x, source)
        result = emit.like(f"{layer.name}/unfolded", output, shape)
    if dense:
        result = _conv_operator(emit, layer, [source, kernel, bias], result, (1, 1), (1, 1))
    else:
        vertical, horizontal = layer.dilation_rate
        dilation_rate = vertical, max(horizontal // fold, 1)
        result = _depthwise_operator(emit, layer, [source, kernel, bias], result, dilation_rate)
    return result if fold == 1 else o.reshape(emit, layer.name, result, output)


def _depthwise_layout(kernel, fold):
    height, width, channels, multiplier = kernel.shape
    return np.tile(kernel.reshape(1, height, width, channels * multiplier), fold)


def _dense_layout(kernel, fold):
    """A depthwise kernel as one between all channels of `fold` pixels side by side."""
    height, width, channels, _ = kernel.shape
    before = -(-(width // 2) // fold)
    dense = np.zeros((fold, channels, height, 2 * before + 1, fold, channels), kernel.dtype)
    each = np.arange(channels)
    for pixel in range(fold):
        for column in range(width):
            place, source = divmod(pixel + column - width // 2, fold)
            dense[pixel, each, :, before + place, source, each] = kernel[:, column, :, 0].T
    return dense.reshape(fold * channels, height, 2 * before + 1, fold * channels)


def _columns_to_fold(layer, x, dense):
    """How many pixels beside each other to write as one of that many times the channels.

    XNNPACK's int8 depthwise kernels work on 16 channels at a time, and 8 take
    as long: on 56x56x8 a 7x3 takes 0.75 of the time so and a 9x1 0.80, both
    RESHAPEs included (AVX2). It is exact where every tap is a whole number of
    such pixels away, and where the kernel is `dense`.
    """
    _, _, width, channels = x.shape
    fold = _DEPTHWISE_CHANNELS // channels
    taps = layer.kernel_size[1]
    if dense:
        fitting = [count for count in range(1, fold + 1) if width % count == 0]
        return fitting[-1] if taps > 1 else 1
    whole = taps == 1 or (taps % 2 == 1 and layer.dilation_rate[1] % max(fold, 1) == 0)
    fits = fold > 1 and channels * fold == _DEPTHWISE_CHANNELS and width % fold == 0
    fits = fits and layer.strides == (1, 1) and layer.depth_multiplier == 1
    # Without padding the last pixels would be of another number.
    fits = fits and layer.padding == "same"
    return fold if whole and fits else 1


@rule(p.MeanTerm)
def _mean_term(emit, layer, x):
    output = emit.output(layer, x)
    _, height, width, channels = x.shape
    term = np.full(channels, layer.scale / (height * width))
    if output.dtype == np.float32:
        kernel = o.float_constant(emit, layer, term.reshape(1, 1, 1, -1), "kernel")
        return o.depthwise(emit, [x, kernel, o.float_constant(emit, layer, term, "bias")], output)
    steps = (term[:1] / 127.0).astype(np.float32)
    codes = np.full((1, 1, 1, channels), 127, np.int8)
    kernel = emit.writer.constant(f"{layer.name}/kernel", codes, Quantization(steps))
    bias = integer_bias(emit.writer, layer.name, term, x, steps, output)
    return o.depthwise(emit, [x, kernel, bias], output)


@rule(p.ChannelScale)
def _channel_scale(emit, layer, x):
    output = emit.output(layer, x)
    if output.dtype == np.float32:
        factors = o.float_constant(emit, layer, layer.kernel)
        return o.multiply(emit, [x, factors], output)
    codes, steps = layer.kernel_codes()
    codes = codes.reshape(1, 1, 1, -1)
    kernel, bias = emit.kernel_and_bias(layer, x, output, codes, steps, 3, np.zeros(len(steps)))
    return o.depthwise(emit, [x, kernel, bias], output)


@rule(p.TransposedConv2D)
def _transposed_conv(emit, layer, x):
    output = emit.output(layer, x)
    kernel, bias = emit.conv_weights(
        layer, x, output, lambda kernel: kernel.transpose(2, 0, 1, 3), axis=0
    )
    shape = o.int32(emit, output.shape, f"{layer.name}/shape")
    options = o.options(
        "TransposeConv",
        padding=o.PADDINGS[layer.padding],
        strideH=layer.strides[0],
        strideW=layer.strides[1],
        fusedActivationFunction=o.activation(layer),
    )
    version = 3 if layer.activation == "linear" else 4
    inputs = [shape, kernel, x, bias]
    return emit.writer.operator("TRANSPOSE_CONV", version, inputs, output, options)


@rule(p.MatMul)
def _matmul(emit, layer, inputs):
    left, right = inputs
    transposed = layer.transpose_b
    if left is right:
        # LiteRT's GPU accelerator ends the process on a product of a tensor with itself.
        copy = emit.like(f"{layer.name}/right", right, right.shape)
        right = o.reshape(emit, layer.name, right, copy)
    if right.dtype == np.int8 and not transposed and right.shape[-1] > 1:
        right, transposed = _columns_as_rows(emit, layer.name, right), True
    options = o.options("BatchMatMul", adjX=False, adjY=transposed)
    return o.operator(emit, "BATCH_MATMUL", [left, right], emit.output(layer, inputs), options)


def _columns_as_rows(emit, name, x):
    """`x` with its last two axes swapped, for an int8 BATCH_MATMUL that reads its rows.

    With two or more threads XNNPACK on ARM64 packs columns wrongly, more than
    one tile of them (16): LiteRT 2.0 to 2.3 on Cortex-A53 and cores with i8mm,
    2.0 and 2.1.0 on Cortex-A76 too. Rows are right on all. XNNPACK would undo a
    TRANSPOSE of the last two axes right before the product, so that one of four
    axes and a RESHAPE stand there.
    """
    *batch, rows, columns = x.shape
    count = int(np.prod(batch, dtype=int))
    # Of a map whose pixels were joined the map itself is taken.
    pixels = emit.reshaped.get(x.index)
    if pixels is None or (pixels.shape[0], *pixels.shape[3:]) != (count, columns):
        pixels = emit.like(f"{name}/right_pixels", x, (count, rows, 1, columns))
        pixels = o.reshape(emit, f"{name}/right_pixels", x, pixels)
    first, height, width, _ = pixels.shape
    swapped = emit.like(f"{name}/right_transposed", x, (first, columns, height, width))
    x = o.transpose(emit, f"{name}/right", pixels, (0, 3, 1, 2), swapped)
    return o.reshape(
        emit, f"{name}/right_rows", x, emit.like(f"{name}/right_rows", x, (*batch, columns, rows))
    )


@rule(p.RepeatHeads)
def _repeat_heads(emit, layer, x):
    output = emit.output(layer, x)
    heads = layer.head_matrix(output.shape[-1]).T
    if output.dtype == np.float32:
        kernel = o.float_constant(emit, layer, heads)
        bias = emit.writer.constant(f"{layer.name}/bias", np.zeros(len(heads), np.float32))
    else:
        kernel = o.integer_constant(emit, layer, heads, 1.0)
        steps = np.ones(1, np.float32)
        bias = integer_bias(emit.writer, layer.name, np.zeros(len(heads)), x, steps, output)
    options = o.options(
        "FullyConnected", fusedActivationFunction=o.NO_ACTIVATION, weightsFormat=0, keepNumDims=True
    )
    return o.operator(emit, "FULLY_CONNECTED", [x, kernel, bias], output, options)
