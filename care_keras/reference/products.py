"""Sums of products: convolutions, FULLY_CONNECTED, BATCH_MATMUL.

Sums are exact; how they are rounded is XNNPACK's `fp32` rule. The zero point
of the input moves into the bias, so that codes are multiplied as they are.
"""

import dataclasses

import numpy as np

from care_keras.reference.operation import Operation, kernel
from care_keras.reference.requantization import Fp32Requantization, exact_type
from care_keras.reference.windows import Window

# XNNPACK has no multiplier of this size or more, and LiteRT 2.3 ends the process as it says so.
_LARGEST_SCALE = 2.0**8


class _Weights:
    """What an operation with weights needs beside its products.

    Attributes:
        codes: The weights, output channels last, in a type that is exact.
        bias: Of the same type, with the input's zero point in it.
        requantize: From the sums, bias included, to codes.
    """

    def __init__(self, operation: Operation, codes: np.ndarray, axis: int, centered: bool = False):
        """What weights give.

        Args:
            operation: Its first inputs are what is multiplied, the weights and the bias.
            codes: int8, every axis but the last one summed over.
            axis: That one in the file.
            centered: Whether the input's zero point is subtracted before it is multiplied.
        """
        x, weights, *_ = operation.inputs
        operation.check_int8(x, weights, operation.output)
        if any(weights.zero_points):
            operation.refuse("a zero point of its weights is not 0")
        per_channel = len(weights.scales) == codes.shape[-1] and weights.quantized_dimension == axis
        if len(weights.scales) != 1 and not per_channel:
            operation.refuse("its weights have neither one step nor one for each output channel")
        zero_point = operation.zero_point(x)
        axes = tuple(range(codes.ndim - 1))
        bias = _bias(operation, codes.shape[-1])
        if not centered:
            bias = bias - zero_point * codes.sum(axes, dtype=np.int64)
        products = (255 if centered else 128) * np.abs(codes.astype(np.int64)).sum(axes)
        bound = int(np.max(products + np.abs(bias), initial=0))
        kind = exact_type(bound)
        self.codes = np.ascontiguousarray(codes, kind)
        self.bias = bias.astype(kind)
        steps = np.asarray(weights.scales, np.float32)
        scale = operation.scale(x) * steps / operation.scale(operation.output)
        _check_scale(operation, scale)
        self.requantize = Fp32Requantization(
            scale, operation.zero_point(operation.output), *operation.output_limits(), bound
        )

    def finish(self, sums):
        """The output codes; overwrites `sums`."""
        sums += self.bias
        return self.requantize(sums)


def _bias(operation, channels):
    bias = operation.inputs[2] if len(operation.inputs) > 2 else None
    if bias is None:
        return np.zeros(channels, np.int64)
    if bias.dtype != "int32":
        operation.refuse(f"its bias is {bias.dtype}, not int32")
    return operation.constant(2).reshape(-1).astype(np.int64)


def _check_scale(operation, scale):
    if np.max(scale) >= _LARGEST_SCALE:
        operation.refuse(f"its multiplier {np.max(scale):.3g} is not below 256")


def _window(operation, size):
    options = operation.options
    dilation = options["dilation_h_factor"], options["dilation_w_factor"]
    return Window(operation, size, dilation)


@kernel("CONV_2D")
def _conv_2d(operation):
    filters, *size, channels = operation.inputs[1].shape
    groups = operation.inputs[0].shape[3] // channels
    # (rows of a product, filters): the taps of all pixels beside each other.
    codes = operation.constant(1).reshape(filters, -1).T
    weights, window = _Weights(operation, codes, axis=0), _window(operation, size)
    pointwise = window.strides == (1, 1) and len(window.taps) == 1
    zero_point = operation.zero_point(operation.inputs[0])

    def gather(x):
        if pointwise:
            return x
        padded = window.pad(x, zero_point)
        return np.stack([window.pixels(padded, tap) for tap in window.taps], axis=3)

    def run(x):
        patches = gather(x).reshape(len(x), *window.output, len(window.taps), groups, channels)
        kind = weights.codes.dtype
        sums = np.empty((len(x) * window.output[0] * window.output[1], filters), kind)
        each = filters // groups
        for group in range(groups):
            part = slice(group * each, (group + 1) * each)
            rows = patches[..., group, :].reshape(len(sums), -1).astype(kind)
            np.matmul(rows, weights.codes[:, part], out=sums[:, part])
        return weights.finish(sums).reshape(len(x), *window.output, filters)

    return run


@kernel("DEPTHWISE_CONV_2D")
def _depthwise_conv_2d(operation):
    _, *size, channels = operation.inputs[1].shape
    multiplier = channels // operation.inputs[0].shape[3]
    codes = operation.constant(1).reshape(-1, channels)
    weights, window = _Weights(operation, codes, axis=3), _window(operation, size)
    kind = weights.codes.dtype
    zero_point = operation.zero_point(operation.inputs[0])
    height, width = window.output
    # Rows of pixels as one axis, or NumPy would loop over as few numbers as there are channels.
    row_weights = [np.tile(codes, width) for codes in weights.codes]
    used = [i for i, codes in enumerate(weights.codes) if codes.any()] or [0]

    def rows_of(padded, tap):
        if window.strides != (1, 1):
            return window.pixels(padded, tap).reshape(len(padded), height, -1)
        flat = padded.reshape(*padded.shape[:2], -1)
        row, start = tap[0], tap[1] * channels
        return flat[:, row : row + height, start : start + width * channels]

    def run(x):
        if multiplier > 1:
            x = np.repeat(x, multiplier, axis=3)
        padded = window.pad(x, zero_point).astype(kind)
        sums = np.empty((len(x), height, width * channels), kind)
        product = np.empty_like(sums)
        for place, i in enumerate(used):
            target = product if place else sums
            np.multiply(rows_of(padded, window.taps[i]), row_weights[i], out=target)
            if place:
                sums += product
        return weights.finish(sums.reshape(len(x), height, width, channels))

    return run


@kernel("TRANSPOSE_CONV")
def _transpose_conv(operation):
    """Each pixel adds its kernel to the output (XNNPACK's src/operators/deconvolution-nhwc.c)."""
    filters, *size, channels = operation.inputs[1].shape
    x, options = operation.inputs[2], operation.options
    strides = options["stride_h"], options["stride_w"]
    zero_point = operation.zero_point(x)
    height, width = x.shape[1:3]
    output = operation.output.shape[1:3]
    first = _transposed_start(operation, size, strides, (height, width), output)
    # Input and weights in the places that they have in a convolution; as a pixel meets only some
    # of the taps, the zero point is subtracted from it, and not from the sums.
    reordered = dataclasses.replace(
        operation, inputs=(x, operation.inputs[1], *operation.inputs[3:])
    )
    codes = operation.constant(1).reshape(filters, -1).T
    weights = _Weights(reordered, codes, axis=0, centered=True)
    taps = weights.codes.reshape(*size, channels, filters)
    # All that any tap reaches; the output is a part of it, or has rows that none reaches.
    full = [
        max((n - 1) * stride + k, start + out)
        for n, stride, k, start, out in zip(
            (height, width), strides, size, first, output, strict=True
        )
    ]

    def run(x):
        pixels = x.astype(taps.dtype) - taps.dtype.type(zero_point)
        sums = np.zeros((len(x), *full, filters), taps.dtype)
        for i in range(size[0]):
            rows = slice(i, i + (height - 1) * strides[0] + 1, strides[0])
            for j in range(size[1]):
                columns = slice(j, j + (width - 1) * strides[1] + 1, strides[1])
                sums[:, rows, columns] += pixels @ taps[i, j]
        rows, columns = (slice(start, start + n) for start, n in zip(first, output, strict=True))
        return weights.finish(sums[:, rows, columns].copy())

    return run


def _transposed_start(operation, size, strides, pixels, output):
    """First row and column of the output in what the taps reach.

    The delegate's `CalculateTransposeConvPaddings`
    (tflite/delegates/xnnpack/xnnpack_delegate.cc).
    """
    if operation.options["padding"] == "VALID":
        if any(taps > n for taps, n in zip(size, output, strict=True)):
            operation.refuse("its output is smaller than its kernel, and XNNPACK leaves it")
        return 0, 0
    expected = tuple(-(-n // stride) for n, stride in zip(output, strides, strict=True))
    if expected != tuple(pixels) or any(
        taps < stride for taps, stride in zip(size, strides, strict=True)
    ):
        operation.refuse("its steps are larger than its kernel, and XNNPACK leaves it")
    return tuple(
        max((n - 1) * stride + taps - out, 0) // 2
        for n, stride, taps, out in zip(pixels, strides, size, output, strict=True)
    )


@kernel("FULLY_CONNECTED")
def _fully_connected(operation):
    if operation.options.get("weights_format", 0):
        operation.refuse("its weights are shuffled")
    codes = operation.constant(1).T
    weights = _Weights(operation, codes, axis=0)
    keep = operation.options.get("keep_num_dims", False)

    def run(x):
        rows = x.reshape(-1, len(codes)).astype(weights.codes.dtype)
        outputs = weights.finish(rows @ weights.codes)
        return outputs.reshape(*x.shape[:-1], -1) if keep else outputs

    return run


@kernel("BATCH_MATMUL")
def _batch_matmul(operation):
    left, right = operation.inputs
    operation.check_int8(left, right, operation.output)
    if operation.zero_point(right):
        operation.refuse("the zero point of its right side is not 0, and XNNPACK leaves it")
    adj_x, adj_y = operation.options["adj_x"], operation.options["adj_y"]
    zero_point = operation.zero_point(left)
    summed = left.shape[-2 if adj_x else -1]
    bound = summed * 255 * 128
    kind = exact_type(bound)
    scale = operation.scale(left) * operation.scale(right) / operation.scale(operation.output)
    _check_scale(operation, scale)
    requantize = Fp32Requantization(
        scale, operation.zero_point(operation.output), *operation.output_limits(), bound
    )

    def run(*arrays):
        a, b = operation.operands(arrays)
        a = a.astype(kind) - kind(zero_point)
        a = a.swapaxes(-1, -2) if adj_x else a
        b = b.astype(kind)
        return requantize(a @ (b.swapaxes(-1, -2) if adj_y else b))

    return run
