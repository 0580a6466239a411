"""Normalization over the numbers of one image: layers, groups, roots of squares."""

import keras
import numpy as np

from care_keras import primitives as p
from care_keras.deploy.lowering import Affine, Lowered, NoPrimitiveError, lowers
from care_keras.primitives.folding import array


def _normalized(build, x, axes, epsilon, name, centered=True):
    """`(x - mean) / sqrt(variance + epsilon)` over some axes."""
    if centered:
        mean = build.add(p.Mean, x, f"{name}_mean", axes)
        x = build.add(p.Subtract, [x, mean], f"{name}_centered")
    squares = build.add(p.Multiply, [x, x], f"{name}_squares")
    variance = build.add(p.Mean, squares, f"{name}_variance_raw", axes)
    variance = build.add(p.AddEpsilon, variance, f"{name}_variance", epsilon)
    root = build.add(p.Rsqrt, variance, f"{name}_root")
    return build.add(p.Multiply, [x, root], f"{name}_normalized")


def _one_axis(layer, x):
    axis = layer.axis
    axis = axis[0] if isinstance(axis, (list, tuple)) and len(axis) == 1 else axis
    if not isinstance(axis, int) or axis % len(x.shape) != len(x.shape) - 1:
        raise NoPrimitiveError(f"axis={layer.axis}")


def _factors(layer, channels):
    scale = np.ones(channels) if getattr(layer, "gamma", None) is None else array(layer.gamma)
    offset = np.zeros(channels) if getattr(layer, "beta", None) is None else array(layer.beta)
    return scale, offset


@lowers(keras.layers.LayerNormalization)
def lower_layer_norm(build, layer, x, rewrites) -> Lowered:
    """Over the channels; its factors are folded into what reads it."""
    _one_axis(layer, x)
    if getattr(layer, "rms_scaling", False):
        raise NoPrimitiveError("rms_scaling=True")
    normalized = _normalized(build, x, (len(x.shape) - 1,), layer.epsilon, layer.name)
    return Affine(normalized, *_factors(layer, x.shape[-1]), layer.name)


@lowers(keras.layers.RMSNormalization)
def lower_rms_norm(build, layer, x, rewrites) -> Lowered:
    """Over the channels, without their mean."""
    _one_axis(layer, x)
    axes = (len(x.shape) - 1,)
    normalized = _normalized(build, x, axes, layer.epsilon, layer.name, centered=False)
    scale = array(layer.scale)
    return Affine(normalized, scale, np.zeros_like(scale), layer.name)


@lowers(keras.layers.UnitNormalization)
def lower_unit_norm(build, layer, x, rewrites) -> Lowered:
    """Over the channels, to the length 1."""
    _one_axis(layer, x)
    channels = x.shape[-1]
    axes = (len(x.shape) - 1,)
    # Keras's own guard is on the sum of squares.
    normalized = _normalized(build, x, axes, 1e-12 / channels, layer.name, centered=False)
    scale = np.full(channels, channels**-0.5)
    return Affine(normalized, scale, np.zeros(channels), layer.name)


@lowers(keras.layers.GroupNormalization)
def lower_group_norm(build, layer, x, rewrites) -> Lowered:
    """Over the pixels of some channels together."""
    _one_axis(layer, x)
    channels, sizes = x.shape[-1], x.shape[1:-1]
    groups = channels if layer.groups == -1 else layer.groups
    if None in sizes:
        raise NoPrimitiveError("the size of its input is open")
    pixels = int(np.prod(sizes, dtype=int))
    shape = (pixels, groups, channels // groups)
    grouped = build.add(p.Reshape, x, f"{layer.name}_groups", shape)
    normalized = _normalized(build, grouped, (1, 3), layer.epsilon, layer.name)
    normalized = build.add(p.Reshape, normalized, f"{layer.name}_ungrouped", (*sizes, channels))
    return Affine(normalized, *_factors(layer, channels), layer.name)
