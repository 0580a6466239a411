"""Convolutions, transposed ones too."""

import struct

from care_keras import primitives as p
from care_keras.deploy.lift.registry import Call, lifts, product
from care_keras.deploy.lift.values import Value
from care_keras.deploy.lowering import NoPrimitiveError
from care_keras.primitives.window import same_padding


def _window(call):
    strides = call.counts("stride_h", "stride_w")
    return strides, call.counts("dilation_h_factor", "dilation_w_factor")


@lifts("CONV_2D")
def lift_conv(call: Call) -> Value:
    """A convolution, in groups or not."""
    x = call.images()
    kernel = call.weights(1, 4).transpose(1, 2, 3, 0)
    channels, filters = x.sizes[-1], kernel.shape[3]
    groups = product([channels]) // kernel.shape[2]
    if channels != groups * kernel.shape[2] or filters % groups:
        raise NoPrimitiveError(f"of {channels} channels and a kernel of {kernel.shape}")
    return _conv(call, x, kernel, call.bias(2, filters), groups, *_window(call))


def _conv(call, x, kernel, bias, groups, strides, dilation):
    def conv(x, strides, padding):
        return call.build.conv(
            x, kernel, bias, call.name, strides, padding, dilation, groups=groups
        )

    x = _strided(call, x, kernel.shape[:2], strides, dilation, conv)
    return call.finish(x, 0)


@lifts("DEPTHWISE_CONV_2D")
def lift_depthwise(call: Call) -> Value:
    """A depthwise convolution."""
    x = call.images()
    kernel = call.weights(1, 4)
    channels = product(x.sizes[-1:])
    if kernel.shape[0] != 1 or not channels or kernel.shape[3] % channels:
        raise NoPrimitiveError(f"of {channels} channels and a kernel of {kernel.shape}")
    bias = call.bias(2, kernel.shape[3])
    kernel = kernel.reshape(*kernel.shape[1:3], channels, -1)
    strides, dilation = _window(call)
    if strides[0] != strides[1]:
        # Keras's has one step for both directions; a convolution in groups has two.
        kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
        return _conv(call, x, kernel, bias, channels, strides, dilation)

    def depthwise(x, strides, padding):
        return call.build.depthwise(x, kernel, bias, call.name, dilation, strides, padding)

    x = _strided(call, x, kernel.shape[:2], strides, dilation, depthwise)
    return call.finish(x, 0)


def _strided(call, x, taps, strides, dilation, conv):
    """Strides together with dilation, which no backend of Keras computes: all, and some of it."""
    padding = call.padding()
    if max(strides) == 1 or max(dilation) == 1:
        return conv(x.tensor, strides, padding)
    x, sizes = call.build.tensor(x.tensor), x.sizes
    if padding == "same":
        product(sizes[:2])
        pairs = [
            same_padding(*four) for four in zip(sizes[:2], taps, strides, dilation, strict=True)
        ]
        x = call.build.add(p.Pad, x, f"{call.name}_padded", (*pairs, (0, 0)))
    x = conv(x, (1, 1), "valid")
    ends = (None, None, None)
    return call.build.add(p.Slice, x, f"{call.name}_strided", (0, 0, 0), ends, (*strides, 1))


@lifts("TRANSPOSE_CONV")
def lift_transposed(call: Call) -> Value:
    """A transposed convolution; of a size that Keras's does not have a part of a larger one."""
    x = call.images(2)
    kernel = call.weights(1, 4).transpose(1, 2, 0, 3)
    taps, filters = kernel.shape[:2], kernel.shape[2]
    strides, padding = call.counts("stride_h", "stride_w"), call.padding()
    shape = call.integers(0)
    if len(shape) != 4 or kernel.shape[3] != x.sizes[-1] or shape[3] != filters:
        raise NoPrimitiveError(f"of {list(x.shape)} to {shape} with a kernel of {kernel.shape}")

    def transposed(padding):
        layer = p.TransposedConv2D(
            filters, taps, strides, padding, name=call.build.name(call.name), dtype="float32"
        )
        tensor = call.build.tensor(x.tensor)
        return layer, lambda: call.build.call(layer, tensor, kernel, call.bias(3, filters))

    wanted = tuple(shape[1:3])
    layer, make = transposed(padding)
    if layer.compute_output_shape((None, *x.sizes))[1:3] == wanted:
        return call.finish(make(), 0)
    product((*wanted, *x.sizes[:2]))
    begin = [
        max((size - 1) * stride + k - out, 0) // 2 if padding == "same" else 0
        for size, out, k, stride in zip(x.sizes, wanted, taps, strides, strict=False)
    ]
    _, make = transposed("valid")
    return call.finish(_part(call, make(), begin, wanted), 0)


def _part(call, x, begin, sizes):
    """Some rows and columns of maps: of a transposed convolution that is larger than asked for."""
    end = [first + size for first, size in zip(begin, sizes, strict=True)]
    if any(last > size for last, size in zip(end, x.shape[1:3], strict=True)):
        raise NoPrimitiveError(f"of {list(sizes)} pixels from {list(x.shape[1:3])}")
    if not any(begin) and tuple(end) == tuple(x.shape[1:3]):
        return x
    return call.build.add(p.Slice, x, f"{call.name}_part", (*begin, 0), (*end, None))


# TFLite's `TfLitePadding`, which the options of MediaPipe's operator begin with.
_PADDINGS = {1: "same", 2: "valid"}


@lifts("CUSTOM:Convolution2DTransposeBias")
def lift_transposed_with_bias(call: Call) -> Value:
    """MediaPipe's transposed convolution (its `util/tflite/operations/transpose_conv_bias.cc`).

    Its options are `TfLiteTransposeConvParams`: the padding, and the strides of columns and of
    rows, int32 each. Of an input of n and k taps `"same"` gives `(n - 1) * stride + k` less
    `max(k - (n - 1) % stride - 1, 0)`, of which half is cut off in front.
    """
    options = call.operator.custom_options
    if len(options) < 12:
        raise NoPrimitiveError(f"with options of {len(options)} bytes")
    padding, columns, rows = struct.unpack("<3i", options[:12])
    if padding not in _PADDINGS or min(columns, rows) < 1:
        raise NoPrimitiveError(f"with padding {padding} and strides of {rows} and {columns}")
    x, kernel = call.images(), call.weights(1, 4).transpose(1, 2, 0, 3)
    strides, taps, filters = (rows, columns), kernel.shape[:2], kernel.shape[2]
    if kernel.shape[3] != x.sizes[-1]:
        raise NoPrimitiveError(f"of {list(x.shape)} with a kernel of {kernel.shape}")
    product(x.sizes[:2])
    begin, sizes = [], []
    for size, k, stride in zip(x.sizes, taps, strides, strict=False):
        cut = max(k - (size - 1) % stride - 1, 0) if _PADDINGS[padding] == "same" else 0
        begin.append(cut // 2)
        sizes.append((size - 1) * stride + k - cut)
    layer = p.TransposedConv2D(
        filters, taps, strides, "valid", name=call.build.name(call.name), dtype="float32"
    )
    tensor = call.build.call(layer, call.build.tensor(x.tensor), kernel, call.bias(2, filters))
    return call.finish(_part(call, tensor, begin, sizes), 0)
