"""Operators that move numbers and change none."""

import itertools

import numpy as np

from care_keras import primitives as p
from care_keras.deploy.lift.registry import Call, lifts, product
from care_keras.deploy.lift.slicing import strided_part
from care_keras.deploy.lift.values import (
    Value,
    align,
    constant_value,
    drop,
    expand,
    insert,
    normal_axis,
    reshape,
    slice_axes,
)
from care_keras.deploy.lowering import NoPrimitiveError

# Of TILE, along one axis: one operator has each of them as an input.
_MOST_COPIES = 64


@lifts("CAST", "DEQUANTIZE")
def lift_nothing(call: Call) -> Value:
    """The input: everything is computed in float32."""
    return call.value()


@lifts("RESHAPE")
def lift_reshape(call: Call) -> Value:
    """RESHAPE."""
    x = call.value()
    has = call.has(1)
    sizes = call.integers(1) if has else [int(n) for n in call.option("new_shape", ())]
    shape = [-1 if size is None else size for size in sizes]
    if shape.count(-1) == 1 and None not in x.shape:
        rest = -product(shape)
        shape[shape.index(-1)] = product(x.shape) // rest if rest else 0
    if shape.count(-1) > 1 or min(shape, default=1) < -1:
        raise NoPrimitiveError("to a shape that is known only when it runs")
    shape = tuple(None if size == -1 else size for size in shape)
    if shape == x.shape:
        return x
    return reshape(call.build, x, shape, call.name)


@lifts("SQUEEZE")
def lift_squeeze(call: Call) -> Value:
    """RESHAPE that drops axes of size 1."""
    x = call.value()
    wanted = [normal_axis(int(axis), len(x.shape)) for axis in call.option("squeeze_dims", ())]
    axes = set(wanted) or {axis for axis, size in enumerate(x.shape) if size == 1}
    if any(x.shape[axis] != 1 for axis in axes):
        raise NoPrimitiveError(f"of axes {sorted(axes)} of {list(x.shape)}")
    return drop(call.build, x, axes, call.name)


@lifts("EXPAND_DIMS")
def lift_expand(call: Call) -> Value:
    """RESHAPE that adds an axis of size 1."""
    x, (axis,) = call.value(), call.integers(1)
    return expand(call.build, x, normal_axis(axis, len(x.shape) + 1), call.name)


@lifts("TRANSPOSE")
def lift_transpose(call: Call) -> Value:
    """TRANSPOSE; the batch's axis stays in front of Keras's tensor wherever the file has it."""
    x, order = call.value(), call.integers(1)
    if None in order or sorted(order) != list(range(len(x.shape))):
        raise NoPrimitiveError(f"to {order} of {list(x.shape)}")
    own = [x.own_axis(axis) for axis in order if axis != x.axis]
    batch = None if x.axis is None else order.index(x.axis)
    if own == sorted(own):
        return Value(x.tensor, batch)
    return Value(call.build.add(p.Permute, call.tensor(), call.name, own), batch)


@lifts("SLICE")
def lift_slice(call: Call) -> Value:
    """SLICE."""
    x, begin, size = call.value(), call.integers(1), call.integers(2)
    if not len(begin) == len(size) == len(x.shape) or None in (*begin, *size):
        raise NoPrimitiveError("with places that are known only when it runs")
    if min(begin, default=0) < 0:
        raise NoPrimitiveError(f"from {begin}")
    ends = [None if n == -1 else first + n for first, n in zip(begin, size, strict=True)]
    slices = [slice(first, end) for first, end in zip(begin, ends, strict=True)]
    return slice_axes(call.build, x, slices, call.name)


@lifts("STRIDED_SLICE")
def lift_strided_slice(call: Call) -> Value:
    """STRIDED_SLICE, and a RESHAPE where axes are dropped or added."""
    x = call.value()
    places = (call.integers(place) for place in (1, 2, 3))
    part = strided_part(x.shape, *places, call.operator.options)
    x = slice_axes(call.build, x, part.slices, call.name)
    if part.dropped:
        if any(x.shape[axis] != 1 for axis in part.dropped):
            raise NoPrimitiveError("of a place that is not there")
        x = drop(call.build, x, part.dropped, f"{call.name}_dropped")
    for axis in part.added:
        x = expand(call.build, x, axis, f"{call.name}_expanded")
    return x


@lifts("SPLIT")
def lift_split(call: Call) -> list[Value]:
    """One SLICE for each part."""
    x, (axis,) = call.value(1), call.integers(0)
    axis, parts = normal_axis(axis, len(x.shape)), len(call.operator.outputs)
    size = product(x.shape[axis : axis + 1])
    if size % parts:
        raise NoPrimitiveError(f"of {size} into {parts}")
    return _parts(call, x, axis, [size // parts] * parts)


@lifts("SPLIT_V")
def lift_split_at(call: Call) -> list[Value]:
    """One SLICE for each part."""
    x, sizes, (axis,) = call.value(), call.integers(1), call.integers(2)
    axis = normal_axis(axis, len(x.shape))
    whole = product(x.shape[axis : axis + 1])
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = whole - sum(sizes) - 1
    if min(sizes, default=0) < 0 or sum(sizes) != whole:
        raise NoPrimitiveError(f"of {whole} into {sizes}")
    return _parts(call, x, axis, sizes)


def _parts(call, x, axis, sizes):
    if len(sizes) != len(call.operator.outputs):
        raise NoPrimitiveError(f"into {len(sizes)} parts")
    ends = [0, *itertools.accumulate(sizes)]
    found = []
    for number, (first, last) in enumerate(itertools.pairwise(ends)):
        slices = [slice(None)] * len(x.shape)
        slices[axis] = slice(first, last)
        found.append(slice_axes(call.build, x, slices, f"{call.name}_part{number + 1}"))
    return found


@lifts("UNPACK")
def lift_unpack(call: Call) -> list[Value]:
    """One SLICE for each place of an axis, which is dropped."""
    x, count = call.value(), len(call.operator.outputs)
    axis = normal_axis(call.option("axis"), len(x.shape))
    if x.shape[axis] != count:
        raise NoPrimitiveError(f"of {x.shape[axis]} into {count}")
    parts = _parts(call, x, axis, [1] * count)
    return [drop(call.build, part, {axis}, f"{call.name}_dropped") for part in parts]


@lifts("PACK")
def lift_pack(call: Call) -> Value:
    """CONCATENATION of tensors with one axis more."""
    first = next(x for x in call.inputs if isinstance(x, Value))
    axis = normal_axis(call.option("axis"), len(first.shape) + 1)
    expanded = [
        expand(call.build, x, axis, f"{call.name}_{number + 1}")
        if isinstance(x, Value)
        else call.weights(number).reshape(insert(x.shape, axis, 1))
        for number, x in enumerate(call.inputs)
    ]
    return _joined(call, expanded, axis)


@lifts("CONCATENATION")
def lift_concatenation(call: Call) -> Value:
    """CONCATENATION."""
    operands = [
        x if isinstance(x, Value) else call.weights(place) for place, x in enumerate(call.inputs)
    ]
    rank = len(operands[0].shape)
    if call.option("fused_activation_function", "NONE") != "NONE":
        raise NoPrimitiveError("with an activation, which no kernel of it has")
    return _joined(call, operands, normal_axis(call.option("axis"), rank))


@lifts("TILE")
def lift_tile(call: Call) -> Value:
    """CONCATENATION of copies, for each axis that has several."""
    x, copies = call.value(), call.integers(1)
    if len(copies) != len(x.shape) or None in copies or min(copies, default=1) < 1:
        raise NoPrimitiveError(f"of {list(x.shape)} by {copies}")
    for axis, count in enumerate(copies):
        if count > _MOST_COPIES:
            raise NoPrimitiveError(f"by {count} along axis {axis}: at most {_MOST_COPIES}")
        if count > 1:
            x = _joined(call, [x] * count, axis, f"{call.name}_axis{axis}")
    return x


def _joined(call, operands, axis, name=None):
    name = name or call.name
    build, rank = call.build, len(operands[0].shape)
    if any(len(x.shape) != rank for x in operands):
        raise NoPrimitiveError("of tensors of different ranks")
    first = next(x for x in operands if isinstance(x, Value))
    if first.axis == axis and call.open_batch:
        raise NoPrimitiveError("of the images of a batch")
    aligned, batch = align(build, operands, name, free=(axis - rank,))
    tensors = []
    for number, x in enumerate(aligned):
        if isinstance(x, np.ndarray):
            x = constant_value(build, first, x, f"{name}_constant{number + 1}").tensor
        tensors.append(build.tensor(x))
    own = axis - (batch is not None and batch < axis)
    sizes = [x.shape[1:] for x in tensors]
    if any(s[:own] + s[own + 1 :] != sizes[0][:own] + sizes[0][own + 1 :] for s in sizes):
        raise NoPrimitiveError("of tensors of different sizes")
    if len(tensors) == 1:
        return Value(tensors[0], batch)
    return Value(build.add(p.Concatenate, tensors, name, own - len(sizes[0])), batch)
