"""Pooling, sums over axes, and resizing."""

import math

import keras
import numpy as np

from care_keras import primitives as p
from care_keras.deploy.lowering import Lowered, NoPrimitiveError, check_channels_last, lowers

_POOLS = {
    keras.layers.MaxPooling2D: p.MaxPool2D,
    keras.layers.AveragePooling2D: p.AveragePool2D,
}


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


@lowers(*_POOLS)
def lower_pool(build, layer, x, rewrites) -> Lowered:
    """MAX_POOL_2D or AVERAGE_POOL_2D."""
    check_channels_last(layer)
    (kind,) = {kind for base, kind in _POOLS.items() if isinstance(layer, base)}
    size, strides = _pair(layer.pool_size), _pair(layer.strides)
    return build.add(kind, x, layer.name, size, strides, layer.padding)


@lowers("MaxPool", "AveragePool")
def lower_pool_operation(build, operation, x, rewrites) -> Lowered:
    """MAX_POOL_2D or AVERAGE_POOL_2D."""
    if len(x.shape) != 4:
        raise NoPrimitiveError("its input is no map")
    check_channels_last(operation)
    kind = p.MaxPool2D if type(operation).__name__ == "MaxPool" else p.AveragePool2D
    size = _pair(operation.pool_size)
    strides = size if operation.strides is None else _pair(operation.strides)
    return build.add(kind, x, operation.name, size, strides, operation.padding)


_ADAPTIVE = {
    keras.layers.AdaptiveAveragePooling2D: (p.AveragePool2D, p.Mean),
    keras.layers.AdaptiveMaxPooling2D: (p.MaxPool2D, p.Max),
}


@lowers(*_ADAPTIVE)
def lower_adaptive_pool(build, layer, x, rewrites) -> Lowered:
    """A pooling of windows that all have one size."""
    check_channels_last(layer)
    (kinds,) = {kinds for base, kinds in _ADAPTIVE.items() if isinstance(layer, base)}
    sizes, wanted = x.shape[1:3], _pair(layer.output_size)
    if wanted == (1, 1):
        return build.add(kinds[1], x, layer.name, (1, 2))
    if None in sizes or any(size % parts for size, parts in zip(sizes, wanted, strict=True)):
        raise NoPrimitiveError("its windows differ in size, or the size of its input is open")
    window = tuple(size // parts for size, parts in zip(sizes, wanted, strict=True))
    return build.add(kinds[0], x, layer.name, window, window)


_GLOBAL = {
    keras.layers.GlobalAveragePooling2D: p.Mean,
    keras.layers.GlobalMaxPooling2D: p.Max,
    keras.layers.GlobalAveragePooling1D: p.Mean,
    keras.layers.GlobalMaxPooling1D: p.Max,
}


@lowers(*_GLOBAL)
def lower_global_pool(build, layer, x, rewrites) -> Lowered:
    """MEAN or REDUCE_MAX over all pixels."""
    check_channels_last(layer)
    (kind,) = {kind for base, kind in _GLOBAL.items() if isinstance(layer, base)}
    return _reduce(build, kind, x, range(1, len(x.shape) - 1), layer.keepdims, layer.name)


def _axes(operation):
    """The axes that a reduction goes over."""
    axes = operation.axis
    if axes is None or not np.size(axes):
        raise NoPrimitiveError("it takes the images of a batch together")
    return [int(axis) for axis in np.atleast_1d(axes)]


def _reduce(build, kind, x, axes, keepdims, name):
    axes = tuple(sorted(axis % len(x.shape) for axis in axes))
    if 0 in axes:
        raise NoPrimitiveError("it takes the images of a batch together")
    kept = [size for axis, size in enumerate(x.shape) if axis not in axes]
    if keepdims:
        return build.add(kind, x, name, axes)
    return build.reshape(build.add(kind, x, f"{name}_kept", axes), kept, name)


@lowers("Mean", "Max")
def lower_reduction(build, operation, x, rewrites) -> Lowered:
    """MEAN or REDUCE_MAX."""
    if getattr(operation, "initial", None) is not None:
        raise NoPrimitiveError(f"initial={operation.initial}")
    kind = p.Mean if type(operation).__name__ == "Mean" else p.Max
    return _reduce(build, kind, x, _axes(operation), operation.keepdims, operation.name)


@lowers("Argmax")
def lower_arg_max(build, operation, x, rewrites) -> Lowered:
    """ARG_MAX of the last axis, which a TRANSPOSE brings another one to."""
    rank = len(x.shape)
    if operation.axis is None or operation.axis % rank == 0:
        raise NoPrimitiveError("it takes the images of a batch together")
    axis, name = operation.axis % rank, operation.name
    behind = build.producer(x)
    if behind is not None and isinstance(behind[0], p.Softmax) and axis == rank - 1:
        # The same order without its int8 codes, in which close classes are equal.
        x = behind[1]
        build.shared.add(id(x))
    if axis == rank - 1:
        return build.add(p.ArgMax, x, name, operation.keepdims)
    order = [place for place in range(1, rank) if place != axis]
    x = build.add(p.Permute, x, f"{name}_order", (*order, axis))
    if not operation.keepdims:
        return build.add(p.ArgMax, x, name)
    x = build.add(p.ArgMax, x, f"{name}_last", True)
    order = list(range(1, rank - 1))
    order.insert(axis - 1, rank - 1)
    return build.add(p.Permute, x, name, order)


@lowers("Min")
def lower_min(build, operation, x, rewrites) -> Lowered:
    """The opposite of the REDUCE_MAX of opposites."""
    if operation.initial is not None:
        raise NoPrimitiveError(f"initial={operation.initial}")
    name, axes = operation.name, _axes(operation)
    opposites = build.constant(p.MultiplyConstant, x, -1.0, f"{name}_opposites")
    largest = _reduce(build, p.Max, opposites, axes, operation.keepdims, f"{name}_largest")
    return build.constant(p.MultiplyConstant, largest, -1.0, name)


@lowers("Var")
def lower_variance(build, operation, x, rewrites) -> Lowered:
    """The mean of the squares of what is left without the mean."""
    name, axes = operation.name, _axes(operation)
    mean = _reduce(build, p.Mean, x, axes, True, f"{name}_mean")
    centered = build.add(p.Subtract, [x, mean], f"{name}_centered")
    squares = build.add(p.Multiply, [centered, centered], f"{name}_squares")
    return _reduce(build, p.Mean, squares, axes, operation.keepdims, name)


@lowers("Sum")
def lower_sum(build, operation, x, rewrites) -> Lowered:
    """A mean times the number of what is added."""
    axes = _axes(operation)
    sizes = [x.shape[axis] for axis in axes]
    if None in sizes:
        raise NoPrimitiveError("how many numbers it adds is open")
    count = math.prod(sizes)
    mean = _reduce(build, p.Mean, x, axes, operation.keepdims, f"{operation.name}_mean")
    return build.constant(p.MultiplyConstant, mean, count, operation.name)


@lowers(keras.layers.UpSampling2D)
def lower_up_sampling(build, layer, x, rewrites) -> Lowered:
    """RESIZE_NEAREST_NEIGHBOR or RESIZE_BILINEAR."""
    check_channels_last(layer)
    if layer.interpolation not in ("nearest", "bilinear"):
        raise NoPrimitiveError(f"interpolation={layer.interpolation!r}")
    size = _pair(layer.size)
    return build.add(p.Resize, x, layer.name, size, interpolation=layer.interpolation)


@lowers(keras.layers.Resizing, "Resize")
def lower_resizing(build, layer, x, rewrites) -> Lowered:
    """RESIZE_NEAREST_NEIGHBOR or RESIZE_BILINEAR to a size."""
    check_channels_last(layer)
    if len(x.shape) != 4:
        raise NoPrimitiveError("its input is no batch of maps")
    if layer.crop_to_aspect_ratio or layer.pad_to_aspect_ratio or layer.antialias:
        raise NoPrimitiveError("it crops, pads or smooths")
    if layer.interpolation not in ("nearest", "bilinear"):
        raise NoPrimitiveError(f"interpolation={layer.interpolation!r}")
    size = layer.size if hasattr(layer, "size") else (layer.height, layer.width)
    if tuple(x.shape[1:3]) == tuple(size):
        return x
    return build.add(p.Resize, x, layer.name, None, tuple(size), layer.interpolation)
