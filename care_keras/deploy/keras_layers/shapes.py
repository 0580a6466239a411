"""Layers and operations that change shapes and move numbers."""

import itertools
import math

import keras
import numpy as np

from care_keras import primitives as p
from care_keras.deploy.lowering import Lowered, NoPrimitiveError, check_channels_last, lowers


@lowers(keras.layers.Reshape, takes_integers=True)
def lower_reshape(build, layer, x, rewrites) -> Lowered:
    """RESHAPE."""
    return build.reshape(x, (x.shape[0], *layer.target_shape), layer.name)


@lowers(keras.layers.Flatten, takes_integers=True)
def lower_flatten(build, layer, x, rewrites) -> Lowered:
    """RESHAPE to one axis."""
    if getattr(layer, "data_format", "channels_last") != "channels_last" and len(x.shape) > 2:
        raise NoPrimitiveError("data_format='channels_first'")
    return build.reshape(x, (x.shape[0], -1), layer.name)


@lowers(keras.layers.Permute, takes_integers=True)
def lower_permute(build, layer, x, rewrites) -> Lowered:
    """TRANSPOSE."""
    return build.add(p.Permute, x, layer.name, layer.dims)


@lowers(keras.layers.RepeatVector)
def lower_repeat_vector(build, layer, x, rewrites) -> Lowered:
    """The vector several times, one below the other."""
    row = build.reshape(x, (x.shape[0], 1, -1), f"{layer.name}_row")
    return _repeated(build, row, layer.n, 1, layer.name)


def _repeated(build, x, times, axis, name):
    return x if times == 1 else build.add(p.Concatenate, [x] * times, name, axis)


@lowers(keras.layers.ZeroPadding2D)
def lower_zero_padding(build, layer, x, rewrites) -> Lowered:
    """PAD."""
    check_channels_last(layer)
    return build.add(p.Pad, x, layer.name, (*layer.padding, (0, 0)))


@lowers("Pad", takes_keywords=True)
def lower_pad(build, operation, inputs, rewrites) -> Lowered:
    """PAD with zeros."""
    x, value = inputs, 0
    if isinstance(inputs, dict):
        x, value = inputs["x"], inputs.get("constant_values", 0)
    elif isinstance(inputs, list):
        x, value = inputs
    pairs = np.broadcast_to(np.asarray(operation.pad_width), (len(x.shape), 2)).tolist()
    if operation.mode != "constant" or value:
        raise NoPrimitiveError(f"mode={operation.mode!r}, constant_values={value}")
    if any(pairs[0]):
        raise NoPrimitiveError("it adds images to a batch")
    return build.add(p.Pad, x, operation.name, pairs[1:])


@lowers(keras.layers.Cropping2D)
def lower_cropping(build, layer, x, rewrites) -> Lowered:
    """SLICE."""
    check_channels_last(layer)
    begin = [first for first, _ in layer.cropping]
    end = [-last if last else None for _, last in layer.cropping]
    return build.add(p.Slice, x, layer.name, (*begin, 0), (*end, None))


@lowers(keras.layers.CenterCrop)
def lower_center_crop(build, layer, x, rewrites) -> Lowered:
    """SLICE of the middle, of images that are large enough."""
    sizes, wanted = x.shape[1:3], (layer.height, layer.width)
    if None in sizes or any(have < want for have, want in zip(sizes, wanted, strict=True)):
        raise NoPrimitiveError("the size of its input is open, or smaller than the crop")
    begin = [int((have - want) / 2) for have, want in zip(sizes, wanted, strict=True)]
    end = [first + want for first, want in zip(begin, wanted, strict=True)]
    return build.add(p.Slice, x, layer.name, (*begin, 0), (*end, None))


@lowers(keras.layers.Concatenate, "Concatenate")
def lower_concatenate(build, layer, inputs, rewrites) -> Lowered:
    """CONCATENATION."""
    inputs = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    rank = len(inputs[0].shape)
    axis = layer.axis % rank
    if axis == 0:
        raise NoPrimitiveError("it joins the images of a batch")
    if not all(isinstance(x, keras.KerasTensor) for x in inputs):
        raise NoPrimitiveError("one of its inputs is a constant")
    if len(inputs) == 1:
        return inputs[0]
    # From the end, as CARE's are written.
    return build.add(p.Concatenate, inputs, layer.name, axis - rank)


@lowers("Reshape", takes_integers=True)
def lower_reshape_operation(build, operation, x, rewrites) -> Lowered:
    """RESHAPE within images, or of images to windows of them and back."""
    newshape = operation.newshape
    if not isinstance(newshape, (list, tuple)) or not all(_is_size(size) for size in newshape):
        raise NoPrimitiveError("its shape is computed")
    first, *sizes = newshape
    given = x.shape[1:]
    # Of a batch nothing is known but how many numbers an image has.
    known = None not in given and not {-1, None} & set(sizes)
    numbers = sorted((math.prod(sizes), math.prod(given))) if known else (0, 1)
    divides = numbers[0] > 0 and numbers[1] % numbers[0] == 0
    kept = first == x.shape[0] and sizes.count(-1) + sizes.count(None) < 2
    if not sizes or not (kept or (divides and first == -1)):
        raise NoPrimitiveError(f"newshape={newshape}")
    return build.reshape(x, (x.shape[0], *sizes), operation.name)


def _is_size(value):
    return value is None or isinstance(value, (int, np.integer))


@lowers("Squeeze", "ExpandDims", "Ravel", takes_integers=True)
def lower_axes(build, operation, x, rewrites) -> Lowered:
    """RESHAPE that drops or adds axes of size 1."""
    shape = operation.compute_output_spec(x).shape
    if shape[:1] != x.shape[:1] or shape.count(None) > 1 + (shape[0] is None) or len(shape) < 2:
        raise NoPrimitiveError(f"its output has the shape {shape}")
    return build.reshape(x, shape, operation.name)


@lowers("Transpose", "Swapaxes", "Moveaxis", takes_integers=True)
def lower_transpose(build, operation, x, rewrites) -> Lowered:
    """TRANSPOSE."""
    rank = len(x.shape)
    order = list(range(rank))
    kind = type(operation).__name__
    if kind == "Transpose":
        order = list(operation.axes or reversed(order))
    elif kind == "Swapaxes":
        first, second = operation.axis1 % rank, operation.axis2 % rank
        order[first], order[second] = order[second], order[first]
    else:
        order = np.moveaxis(np.zeros(range(1, rank + 1)), operation.source, operation.destination)
        order = [size - 1 for size in order.shape]
    if order[0] != 0:
        raise NoPrimitiveError("it moves the axis of the batch")
    return build.add(p.Permute, x, operation.name, order[1:])


@lowers("GetItem", takes_integers=True)
def lower_get_item(build, operation, inputs, rewrites) -> Lowered:
    """SLICE or STRIDED_SLICE, and RESHAPE where axes are dropped."""
    x, key = inputs
    key = list(key) if isinstance(key, (list, tuple)) else [key]
    if any(part is None or not isinstance(part, (int, slice, type(...))) for part in key):
        raise NoPrimitiveError(f"key={key}")
    missing = len(x.shape) - sum(part is not ... for part in key)
    place = next((i for i, part in enumerate(key) if part is ...), None)
    if place is None:
        key += [slice(None)] * missing
    else:
        key[place : place + 1] = [slice(None)] * missing
    first = key[0]
    whole = isinstance(first, slice) and not first.start and first.stop is None
    if not whole or first.step not in (None, 1):
        raise NoPrimitiveError("it takes some of the images of a batch")
    begin, end, strides = [], [], []
    for part in key[1:]:
        if isinstance(part, int):
            part = slice(part, part + 1 if part != -1 else None)
        stride = part.step or 1
        if stride < 1:
            raise NoPrimitiveError("it runs backwards")
        begin.append(part.start or 0)
        end.append(part.stop)
        strides.append(stride)
    if any(begin) or any(stop is not None for stop in end) or any(s > 1 for s in strides):
        x = build.add(p.Slice, x, operation.name, begin, end, strides)
    kept = [
        size for size, part in zip(x.shape[1:], key[1:], strict=True) if isinstance(part, slice)
    ]
    if len(kept) == len(key) - 1:
        return x
    return build.reshape(x, (None, *kept), f"{operation.name}_dropped")


@lowers("Split")
def lower_split(build, operation, x, rewrites) -> Lowered:
    """One SLICE for each part."""
    axis = operation.axis % len(x.shape)
    size, parts = x.shape[axis], operation.indices_or_sections
    if axis == 0 or size is None:
        raise NoPrimitiveError("the size of what it splits is open")
    if parts == 1:
        return x
    ends = list(parts) if not isinstance(parts, int) else range(size // parts, size, size // parts)
    ends = [0, *ends, size]
    outputs = []
    for number, (first, last) in enumerate(itertools.pairwise(ends)):
        begin, end = [0] * (len(x.shape) - 1), [None] * (len(x.shape) - 1)
        begin[axis - 1], end[axis - 1] = int(first), int(last)
        outputs.append(build.add(p.Slice, x, f"{operation.name}_part{number + 1}", begin, end))
    return outputs


@lowers("Stack")
def lower_stack(build, operation, inputs, rewrites) -> Lowered:
    """CONCATENATION of the tensors with one axis more."""
    inputs = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    if not all(isinstance(x, keras.KerasTensor) for x in inputs):
        raise NoPrimitiveError("one of its inputs is a constant")
    rank = len(inputs[0].shape) + 1
    axis = operation.axis % rank
    if axis == 0 or any(None in x.shape[1:] for x in inputs):
        raise NoPrimitiveError("sizes of its inputs are open")
    expanded = []
    for number, x in enumerate(inputs):
        sizes = list(x.shape[1:])
        sizes.insert(axis - 1, 1)
        expanded.append(build.reshape(x, (x.shape[0], *sizes), f"{operation.name}_{number + 1}"))
    if len(expanded) == 1:
        return expanded[0]
    return build.add(p.Concatenate, expanded, operation.name, axis - rank)


@lowers("Repeat")
def lower_repeat(build, operation, x, rewrites) -> Lowered:
    """RESIZE_NEAREST_NEIGHBOR of rows or columns of a map."""
    axis, times = operation.axis, operation.repeats
    if len(x.shape) != 4 or axis not in (1, 2, -2, -3) or not isinstance(times, int):
        raise NoPrimitiveError(f"axis={axis}")
    factor = (times, 1) if axis in (1, -3) else (1, times)
    return build.add(p.Resize, x, operation.name, factor, interpolation="nearest")


@lowers("Roll")
def lower_roll(build, operation, x, rewrites) -> Lowered:
    """CONCATENATION of what is behind the cut and what is before it, axis by axis."""
    if operation.axis is None:
        raise NoPrimitiveError("it rolls over all axes at once")
    axes, rank = np.atleast_1d(operation.axis).tolist(), len(x.shape)
    shifts = np.broadcast_to(operation.shift, (len(axes),)).tolist()
    for number, (axis, shift) in enumerate(zip(axes, shifts, strict=True)):
        axis %= rank
        if axis == 0 or x.shape[axis] is None:
            raise NoPrimitiveError("it rolls images, or an axis of open size")
        cut = -shift % x.shape[axis]
        if not cut:
            continue
        parts = []
        for begin, end in ((cut, None), (0, cut)):
            begins, ends = [0] * (rank - 1), [None] * (rank - 1)
            begins[axis - 1], ends[axis - 1] = begin, end
            name = f"{operation.name}_{number}_from_{begin}"
            parts.append(build.add(p.Slice, x, name, begins, ends))
        x = build.add(p.Concatenate, parts, f"{operation.name}_{number}", axis - rank)
    return x


@lowers("Tile")
def lower_tile(build, operation, x, rewrites) -> Lowered:
    """CONCATENATION of a tensor with itself, axis by axis."""
    repeats = np.atleast_1d(operation.repeats).tolist()
    repeats = [1] * (len(x.shape) - len(repeats)) + repeats
    if repeats[0] != 1 or min(repeats) < 1 or len(repeats) != len(x.shape):
        raise NoPrimitiveError(f"repeats={operation.repeats}")
    for axis, times in enumerate(repeats):
        x = _repeated(build, x, times, axis - len(repeats), f"{operation.name}_axis{axis}")
    return x
