"""Convolutions and products with a matrix."""

import itertools

import keras
import numpy as np

from care_keras import primitives as p
from care_keras.deploy.keras_layers.activations import lower_activation
from care_keras.deploy.keras_layers.kernels import float_kernel
from care_keras.deploy.lowering import (
    Lowered,
    NoPrimitiveError,
    check_channels_last,
    lowers,
    shape_of,
)
from care_keras.primitives.folding import (
    NARROW_CHANNELS,
    SEVEN_BY_SEVEN,
    array,
    split_depthwise,
)

# Of XNNPACK's largest depthwise kernel.
_MAX_TAPS = 25


def _check(layer):
    check_channels_last(layer)
    if layer.padding not in ("valid", "same"):
        raise NoPrimitiveError(f"padding={layer.padding!r}")


def _bias(layer, channels):
    return array(layer.bias) if layer.use_bias else np.zeros(channels)


@lowers(keras.layers.Conv2D, takes_affine=True)
def lower_conv(build, layer, x, rewrites) -> Lowered:
    """A convolution, and its activation."""
    _check(layer)
    kernel, bias = array(layer.kernel), _bias(layer, layer.filters)
    if layer.groups > 1 == kernel.shape[2] and len(set(layer.strides)) == 1:
        # Each channel has kernels of its own.
        kernel = kernel.reshape(*kernel.shape[:2], layer.groups, -1)
        x = _depthwise(build, layer, x, kernel, bias, layer.name, rewrites)
    else:
        window = layer.strides, layer.padding, layer.dilation_rate
        x = build.conv(x, kernel, bias, layer.name, *window, groups=layer.groups)
    return lower_activation(build, layer.activation, x, layer.name)


def _depthwise(build, layer, x, kernel, bias, name, rewrites):
    if len(set(layer.strides)) > 1:
        raise NoPrimitiveError("TFLite's depthwise convolution has one step for both directions")
    plain = set(layer.strides) == set(layer.dilation_rate) == {1} and layer.padding == "same"
    if not plain or not rewrites.split_wide_depthwise:
        window = layer.dilation_rate, layer.strides, layer.padding
        return build.depthwise(x, kernel, bias, name, *window)
    pieces = split_depthwise(kernel, bias, _pieces(*kernel.shape[:2]))
    narrow = kernel.shape[2] <= NARROW_CHANNELS and kernel.shape[3] == 1
    dense = rewrites.dense_narrow and narrow and len(pieces) > 1
    if dense or len(pieces) == 1:
        return build.depthwise(x, kernel, bias, name, dense=dense)
    # Or each of them would fold it.
    return build.sum_of_depthwise(build.tensor(x), pieces, name, name)


def _pieces(height, width):
    """Rows and columns of parts, up to a 9x9 of few enough taps for XNNPACK's depthwise kernels."""
    if (height, width) == (7, 7):
        return SEVEN_BY_SEVEN
    if height * width <= _MAX_TAPS or not height % 2 or not width % 2:
        return [(slice(0, height), slice(0, width))]
    # Every other one, and those between: both are centred where there is an odd number of them.
    return list(itertools.product(_every_other(height), _every_other(width)))


def _every_other(size):
    return [slice(0, size, 2), slice(1, size - 1, 2)] if size > 1 else [slice(0, 1)]


@lowers(keras.layers.DepthwiseConv2D, takes_affine=True)
def lower_depthwise(build, layer, x, rewrites) -> Lowered:
    """A depthwise convolution, and its activation."""
    _check(layer)
    kernel = array(layer.kernel)
    bias = _bias(layer, kernel.shape[2] * kernel.shape[3])
    x = _depthwise(build, layer, x, kernel, bias, layer.name, rewrites)
    return lower_activation(build, layer.activation, x, layer.name)


@lowers(keras.layers.SeparableConv2D, takes_affine=True)
def lower_separable(build, layer, x, rewrites) -> Lowered:
    """A depthwise convolution and a 1x1 convolution of it."""
    _check(layer)
    kernel = array(layer.depthwise_kernel)
    zeros = np.zeros(kernel.shape[2] * kernel.shape[3])
    x = _depthwise(build, layer, x, kernel, zeros, f"{layer.name}_depthwise", rewrites)
    bias = _bias(layer, layer.filters)
    x = build.conv(x, array(layer.pointwise_kernel), bias, layer.name)
    return lower_activation(build, layer.activation, x, layer.name)


@lowers(keras.layers.Conv2DTranspose)
def lower_transposed(build, layer, x, rewrites) -> Lowered:
    """A transposed convolution, and its activation."""
    _check(layer)
    if layer.output_padding is not None or set(layer.dilation_rate) != {1}:
        raise NoPrimitiveError("TFLite's knows neither output_padding nor dilation")
    conv = p.TransposedConv2D(
        layer.filters,
        layer.kernel_size,
        layer.strides,
        layer.padding,
        name=build.name(layer.name),
        dtype="float32",
    )
    x = build.call(conv, x, array(layer.kernel), _bias(layer, layer.filters))
    return lower_activation(build, layer.activation, x, layer.name)


@lowers(keras.layers.Dense, takes_affine=True)
def lower_dense(build, layer, x, rewrites) -> Lowered:
    """A product with a matrix, and its activation."""
    kernel = float_kernel(layer)
    x = build.dense(x, kernel, _bias(layer, kernel.shape[1]), layer.name)
    return lower_activation(build, layer.activation, x, layer.name)


@lowers(keras.layers.EinsumDense, takes_affine=True)
def lower_einsum_dense(build, layer, x, rewrites) -> Lowered:
    """A product over the last axes of the input, which the first ones of the kernel are."""
    inputs, outputs = layer.equation.replace(" ", "").split("->")
    given, weights = inputs.split(",")
    summed = [letter for letter in weights if letter not in outputs]
    made = [letter for letter in weights if letter in outputs]
    kept = given.replace("...", "")[: -len(summed)] if summed else ""
    whole = (
        given.endswith("".join(summed))
        and weights == "".join(summed + made)
        and outputs.replace("...", "") == kept + "".join(made)
    )
    if not whole or not summed:
        raise NoPrimitiveError(f"equation={layer.equation!r}")
    kernel = float_kernel(layer)
    width = int(np.prod(kernel.shape[: len(summed)]))
    leading = shape_of(x)[: -len(summed)]
    if len(summed) > 1:
        x = build.reshape(build.tensor(x), (*leading, width), f"{layer.name}_flat")
    sizes = kernel.shape[len(summed) :]
    bias = np.zeros(sizes) if layer.bias is None else array(layer.bias)
    if any(size != 1 for size in bias.shape[: -len(sizes)]):
        raise NoPrimitiveError(f"bias_axes={layer.bias_axes!r}")
    bias = np.broadcast_to(bias.reshape(bias.shape[-len(sizes) :]), sizes)
    x = build.dense(x, kernel.reshape(width, -1), bias.reshape(-1), layer.name)
    if len(sizes) > 1:
        x = build.reshape(x, (*leading, *sizes), f"{layer.name}_heads")
    return lower_activation(build, layer.activation, x, layer.name)
