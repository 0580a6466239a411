"""Convolutions and products with a matrix."""

import keras
import numpy as np

from care_keras.deploy.keras_layers.activations import lower_activation
from care_keras.deploy.lowering import (
    Affine,
    Lowered,
    NoPrimitiveError,
    lowers,
)
from care_keras.primitives import TransposedConv2D
from care_keras.primitives.folding import array


def _check(layer):
    if layer.data_format != "channels_last":
        raise NoPrimitiveError(
            "data_format='channels_first' is for GPUs; phones have channels last"
        )
    if layer.padding not in ("valid", "same"):
        raise NoPrimitiveError(f"padding={layer.padding!r}")


def _bias(layer, channels):
    return array(layer.bias) if layer.use_bias else np.zeros(channels)


@lowers(keras.layers.Conv2D, takes_affine=True)
def lower_conv(build, layer, x, rewrites) -> Lowered:
    """A convolution, and its activation."""
    _check(layer)
    x = build.conv(
        x,
        array(layer.kernel),
        _bias(layer, layer.filters),
        layer.name,
        layer.strides,
        layer.padding,
        layer.dilation_rate,
        groups=layer.groups,
    )
    return lower_activation(build, layer.activation, x, layer.name)


def _depthwise(build, layer, x, kernel, bias, name):
    if len(set(layer.strides)) > 1:
        raise NoPrimitiveError("TFLite's depthwise convolution has one step for both directions")
    return build.depthwise(x, kernel, bias, name, layer.dilation_rate, layer.strides, layer.padding)


@lowers(keras.layers.DepthwiseConv2D, takes_affine=True)
def lower_depthwise(build, layer, x, rewrites) -> Lowered:
    """A depthwise convolution, and its activation."""
    _check(layer)
    kernel = array(layer.kernel)
    bias = _bias(layer, kernel.shape[2] * kernel.shape[3])
    x = _depthwise(build, layer, x, kernel, bias, layer.name)
    return lower_activation(build, layer.activation, x, layer.name)


@lowers(keras.layers.SeparableConv2D, takes_affine=True)
def lower_separable(build, layer, x, rewrites) -> Lowered:
    """A depthwise convolution and a 1x1 convolution of it."""
    _check(layer)
    kernel = array(layer.depthwise_kernel)
    zeros = np.zeros(kernel.shape[2] * kernel.shape[3])
    x = _depthwise(build, layer, x, kernel, zeros, f"{layer.name}_depthwise")
    bias = _bias(layer, layer.filters)
    x = build.conv(x, array(layer.pointwise_kernel), bias, layer.name)
    return lower_activation(build, layer.activation, x, layer.name)


@lowers(keras.layers.Conv2DTranspose)
def lower_transposed(build, layer, x, rewrites) -> Lowered:
    """A transposed convolution, and its activation."""
    _check(layer)
    if layer.output_padding is not None or set(layer.dilation_rate) != {1}:
        raise NoPrimitiveError("TFLite's knows neither output_padding nor dilation")
    conv = TransposedConv2D(
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
    kernel = array(layer.kernel)
    x = build.dense(x, kernel, _bias(layer, kernel.shape[1]), layer.name)
    return lower_activation(build, layer.activation, x, layer.name)


@lowers(keras.layers.EinsumDense, takes_affine=True)
def lower_einsum_dense(build, layer, x, rewrites) -> Lowered:
    """A product over the last axes of the input, which the first ones of the kernel are."""
    tensor = x.tensor if isinstance(x, Affine) else x
    kernel = array(layer.kernel)
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
    width = int(np.prod(kernel.shape[: len(summed)]))
    leading = tensor.shape[: len(tensor.shape) - len(summed)]
    if len(summed) > 1:
        x = build.reshape(build.tensor(x), (*leading, width), f"{layer.name}_flat")
    sizes = kernel.shape[len(summed) :]
    bias = np.zeros(sizes) if layer.bias is None else np.broadcast_to(array(layer.bias), sizes)
    x = build.dense(x, kernel.reshape(width, -1), bias.reshape(-1), layer.name)
    if len(sizes) > 1:
        x = build.reshape(x, (*leading, *sizes), f"{layer.name}_heads")
    return lower_activation(build, layer.activation, x, layer.name)
