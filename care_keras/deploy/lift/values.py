"""What a file's tensors are in Keras: tensors whose first axis is the batch's.

A file computes one image, so that an axis of size 1 stands for the batch, or
none where a RESHAPE dropped it. Whatever it computes, a `Value` holds that for
every image of a batch.
"""

import dataclasses
import math

import keras
import numpy as np

from care_keras import primitives as p
from care_keras.deploy.builder import Builder
from care_keras.deploy.lowering import Affine, NoPrimitiveError, shape_of

# Sizes of axes; `None` where one is open.
Shape = tuple[int | None, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """A computed tensor of the file.

    Attributes:
        tensor: Of shape `(batch, ...)`.
        axis: The batch's among the axes of the file's tensor, where it has
            size 1; `None` if it is none of them.
    """

    tensor: keras.KerasTensor | Affine
    axis: int | None

    @property
    def sizes(self) -> Shape:
        """Of one image."""
        return tuple(shape_of(self.tensor)[1:])

    @property
    def shape(self) -> Shape:
        """Of the file's tensor, for one image."""
        return self.sizes if self.axis is None else insert(self.sizes, self.axis, 1)

    @property
    def is_places(self) -> bool:
        """Whether it holds int32 places, which are moved, and nothing else."""
        return not isinstance(self.tensor, Affine) and self.tensor.dtype == "int32"

    def own_axis(self, axis: int) -> int:
        """The axis of `tensor` that an axis of the file's tensor is: 0 for the batch's."""
        if axis == self.axis:
            return 0
        return axis + 1 if self.axis is None or axis < self.axis else axis


def insert(items: tuple, place: int, item) -> tuple:
    """A tuple with one item more."""
    return (*items[:place], item, *items[place:])


def without(items: tuple, place: int | None) -> tuple:
    """A tuple with one item less; all of it for `None`."""
    return items if place is None else (*items[:place], *items[place + 1 :])


def normal_axis(axis: int, rank: int) -> int:
    """An axis from 0.

    Raises:
        NoPrimitiveError: If there is no such axis.
    """
    if not isinstance(axis, int) or not -rank <= axis < rank:
        raise NoPrimitiveError(f"axis {axis} of {rank}")
    return axis % rank


def resize_axes(
    build: Builder, value: Value, sizes: Shape, name: str
) -> keras.KerasTensor | Affine:
    """The tensor of a value with other axes and the same numbers."""
    if sizes == value.sizes:
        return value.tensor
    known = None not in (*sizes, *value.sizes)
    if known and math.prod(sizes) != math.prod(value.sizes):
        raise NoPrimitiveError(f"{list(value.shape)} has no shape {list(sizes)}")
    return build.reshape(build.tensor(value.tensor), (None, *sizes), name)


def with_batch_at(build: Builder, value: Value, axis: int | None, name: str) -> Value:
    """The same value with another axis for the batch, which has size 1, or with none."""
    if axis == value.axis:
        return value
    shape = value.shape
    if axis is not None and (axis >= len(shape) or shape[axis] != 1):
        raise NoPrimitiveError(f"axis {axis} of {list(shape)} is no batch of 1")
    return Value(resize_axes(build, value, without(shape, axis), f"{name}_batch"), axis)


def reshape(build: Builder, value: Value, shape: Shape, name: str) -> Value:
    """A file's RESHAPE: the batch is the first axis if its size is 1, or none."""
    axis = 0 if shape and shape[0] == 1 else None
    sizes = without(shape, axis)
    return Value(resize_axes(build, value, sizes, name), axis)


def expand(build: Builder, value: Value, axis: int, name: str) -> Value:
    """One axis of size 1 more."""
    batch = value.axis
    if batch is None:
        return Value(resize_axes(build, value, insert(value.sizes, axis, 1), name), None)
    place = axis if axis <= batch else axis - 1
    sizes = insert(value.sizes, place, 1)
    return Value(resize_axes(build, value, sizes, name), batch + (axis <= batch))


def drop(build: Builder, value: Value, axes: set[int], name: str) -> Value:
    """Some axes of size 1 less."""
    kept = [axis for axis in range(len(value.shape)) if axis not in axes]
    batch = kept.index(value.axis) if value.axis in kept else None
    shape = tuple(value.shape[axis] for axis in kept)
    return Value(resize_axes(build, value, without(shape, batch), name), batch)


def slice_axes(build: Builder, value: Value, slices: list[slice], name: str) -> Value:
    """Part of every axis of the file's tensor; all of the batch's."""
    for axis, part in enumerate(slices):
        if axis == value.axis and range(*part.indices(1)) != range(1):
            raise NoPrimitiveError("it takes some of the images of a batch")
    own = without(tuple(slices), value.axis)
    if all(_is_whole(part, size) for part, size in zip(own, value.sizes, strict=True)):
        return value
    begin, end, strides = zip(*((s.start or 0, s.stop, s.step or 1) for s in own), strict=True)
    x = build.add(p.Slice, build.tensor(value.tensor), name, begin, end, strides)
    return Value(x, value.axis)


def _is_whole(part, size):
    if size is None:
        return not part.start and part.stop is None and part.step in (None, 1)
    return range(*part.indices(size)) == range(size)


def align(
    build: Builder, operands: list[Value | np.ndarray], name: str, free: tuple[int, ...] = ()
) -> tuple[list, int | None]:
    """Operands of an operator that repeats sizes of 1, with as many axes each.

    Args:
        build: The builder.
        operands: Values, and constants.
        name: For what is added.
        free: Axes from behind, such as -1, that the batch's may be none of.

    Returns:
        Tensors and arrays without the batch's axis, and that axis of the
        result.
    """
    rank = max(len(operand.shape) for operand in operands)
    shapes = [(1,) * (rank - len(operand.shape)) + tuple(operand.shape) for operand in operands]
    values = [operand for operand in operands if isinstance(operand, Value)]
    wanted = [x.axis + rank - len(x.shape) for x in values if x.axis is not None]
    places = [*wanted, 0, None] if rank else [None]
    batch = next(
        place
        for place in places
        if place is None or (place - rank not in free and all(s[place] == 1 for s in shapes))
    )
    aligned = []
    for operand, shape in zip(operands, shapes, strict=True):
        sizes = without(shape, batch)
        if isinstance(operand, Value):
            aligned.append(resize_axes(build, operand, sizes, f"{name}_aligned"))
        else:
            aligned.append(operand.reshape(sizes))
    return aligned, batch


def constant_value(build: Builder, like: Value, array: np.ndarray, name: str) -> Value:
    """A constant as a value, whose weights are its numbers.

    Keras computes nothing without an input: some number of `like` becomes 1
    and is multiplied by them.
    """
    first = [slice(0, 1)] * len(like.shape)
    one = slice_axes(build, like, first, f"{name}_input")
    shape = (1,) * array.ndim
    number = build.tensor(resize_axes(build, one, shape, f"{name}_number"))
    one = build.add(p.Clip, number, f"{name}_one", 1.0, 1.0)
    return Value(build.constant(p.MultiplyConstant, one, array, name), None)
