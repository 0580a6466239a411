"""Pooling, sums over axes, and resizing."""

import keras

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


def _reduce(build, kind, x, axes, keepdims, name):
    axes = tuple(sorted(axis % len(x.shape) for axis in axes))
    if 0 in axes:
        raise NoPrimitiveError("it takes the images of a batch together")
    kept = [size for axis, size in enumerate(x.shape) if axis not in axes]
    if keepdims:
        return build.add(kind, x, name, axes)
    if sum(size is None for size in kept[1:]) > 1:
        raise NoPrimitiveError("more than one size of its output is open")
    x = build.add(kind, x, f"{name}_kept", axes)
    sizes = [-1 if size is None else size for size in kept[1:]]
    return build.add(p.Reshape, x, name, sizes)


@lowers("Mean", "Max")
def lower_reduction(build, operation, x, rewrites) -> Lowered:
    """MEAN or REDUCE_MAX."""
    if operation.axis is None:
        raise NoPrimitiveError("it takes the images of a batch together")
    axes = operation.axis if isinstance(operation.axis, (list, tuple)) else [operation.axis]
    kind = p.Mean if type(operation).__name__ == "Mean" else p.Max
    return _reduce(build, kind, x, axes, operation.keepdims, operation.name)


@lowers("Sum")
def lower_sum(build, operation, x, rewrites) -> Lowered:
    """A mean times the number of what is added."""
    if operation.axis is None:
        raise NoPrimitiveError("it takes the images of a batch together")
    axes = operation.axis if isinstance(operation.axis, (list, tuple)) else [operation.axis]
    count = 1
    for axis in axes:
        if x.shape[axis] is None:
            raise NoPrimitiveError("how many numbers it adds is open")
        count *= x.shape[axis]
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
    if layer.data_format not in (None, "channels_last") or len(x.shape) != 4:
        raise NoPrimitiveError("its input is no batch of maps with channels last")
    if layer.crop_to_aspect_ratio or layer.pad_to_aspect_ratio or layer.antialias:
        raise NoPrimitiveError("it crops, pads or smooths")
    if layer.interpolation not in ("nearest", "bilinear"):
        raise NoPrimitiveError(f"interpolation={layer.interpolation!r}")
    size = layer.size if hasattr(layer, "size") else (layer.height, layer.width)
    if tuple(x.shape[1:3]) == tuple(size):
        return x
    return build.add(p.Resize, x, layer.name, None, tuple(size), layer.interpolation)
