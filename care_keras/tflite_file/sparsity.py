"""Sparse constants: how a .tflite file stores one without its zeros, and what it is with them."""

import dataclasses
import math
import struct

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from care_keras.tflite_file.verifier import Budget, CorruptFileError

_VECTORS = {
    schema.SparseIndexVector.Int32Vector: schema.Int32Vector,
    schema.SparseIndexVector.Uint16Vector: schema.Uint16Vector,
    schema.SparseIndexVector.Uint8Vector: schema.Uint8Vector,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Level:
    """One axis of a sparse constant, in the order that its numbers are stored in.

    Attributes:
        axis: Of the tensor; from its rank on, of the blocks that it is cut into.
        size: Of an axis that is stored whole.
        segments: Of one that is not: where each row of the levels before begins among
            `indices`, and where the last one ends; else `None`.
        indices: Places along the axis, likewise.
    """

    axis: int
    size: int
    segments: np.ndarray | None = None
    indices: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Sparsity:
    """TFLite's `SparsityParameters`.

    Attributes:
        levels: Axes from the outermost.
        block_axes: For each axis of blocks, the axis of the tensor that it is a part of.
    """

    levels: tuple[Level, ...]
    block_axes: tuple[int, ...]


def read_sparsity(table: schema.SparsityParameters, budget: Budget) -> Sparsity:
    """Reads the table of a verified file.

    Raises:
        CorruptFileError: If it leads out of the file, or is not complete.
    """
    try:
        order, blocks = _integers(table.TraversalOrderAsNumpy()), _integers(table.BlockMapAsNumpy())
        if len(order) != table.DimMetadataLength():
            raise CorruptFileError("a sparse constant does not describe each of its axes")
        levels = (_level(axis, table.DimMetadata(i), budget) for i, axis in enumerate(order))
        return Sparsity(tuple(levels), tuple(blocks))
    # The reader of flatbuffers has no error of its own for offsets that lead nowhere.
    except (struct.error, TypeError, IndexError, OverflowError) as error:
        raise CorruptFileError("the axes of a sparse constant lead out of it") from error


def _integers(values):
    return values.tolist() if isinstance(values, np.ndarray) else []


def _level(axis, described, budget):
    if described.Format() == schema.DimensionType.DENSE:
        return Level(axis, described.DenseSize())
    parts = (
        (described.ArraySegmentsType(), described.ArraySegments()),
        (described.ArrayIndicesType(), described.ArrayIndices()),
    )
    return Level(axis, 0, *(_vector(kind, table, budget) for kind, table in parts))


def _vector(kind, table, budget):
    if kind not in _VECTORS or table is None:
        raise CorruptFileError("a sparse constant has an axis without places")
    vector = _VECTORS[kind]()
    vector.Init(table.Bytes, table.Pos)
    budget.charge(4 * vector.ValuesLength())
    try:
        values = vector.ValuesAsNumpy()
    except ValueError as error:
        raise CorruptFileError("the places of a sparse constant end behind the file") from error
    return values.astype(np.int64) if isinstance(values, np.ndarray) else np.zeros(0, np.int64)


def densify(
    content: np.ndarray, dtype: np.dtype, shape: tuple[int, ...], sparsity: Sparsity
) -> np.ndarray:
    """A sparse constant with its zeros.

    It takes memory for the result and 8 bytes for each number that is stored or
    that a level stands for, of which there are no more than the result has.

    Args:
        content: The numbers that are stored, as bytes.
        dtype: Their type.
        shape: Of the result.
        sparsity: Where they are in it.

    Raises:
        ValueError: If that does not fit together.
    """
    strides, sizes = _expanded(shape, sparsity)
    places, total = np.zeros(1, np.int64), math.prod(shape)
    for level in sparsity.levels:
        size, stride = sizes[level.axis], strides[level.axis]
        if level.segments is None:
            if level.size != size:
                raise _misfit(shape, f"an axis of {level.size} for {size}")
            if max(size, size * len(places)) > total:
                raise _misfit(shape, "more places than it has")
            places = (places[:, None] + np.arange(size) * stride).reshape(-1)
            continue
        segments, indices = level.segments, level.indices
        counts = np.diff(segments)
        if len(segments) != len(places) + 1 or segments[0] or np.any(counts < 0):
            raise _misfit(shape, "segments that are not those of its rows")
        if segments[-1] != len(indices) or np.any((indices < 0) | (indices >= size)):
            raise _misfit(shape, "places outside of it")
        if len(indices) > total:
            raise _misfit(shape, "more places than it has")
        places = np.repeat(places, counts) + indices * stride
    if len(content) != len(places) * np.dtype(dtype).itemsize:
        raise _misfit(shape, f"{len(content)} bytes for {len(places)} places")
    dense = np.zeros(total, dtype)
    dense[places] = content.view(dtype)
    return dense.reshape(shape)


def _expanded(shape, sparsity):
    """How far apart neighbours along each axis of the tensor and of blocks are, and its size."""
    rank, blocks = len(shape), sparsity.block_axes
    by_axis = {level.axis: level for level in sparsity.levels}
    if sorted(by_axis) != list(range(rank + len(blocks))) or len(by_axis) != len(sparsity.levels):
        raise _misfit(shape, "axes that are not its own")
    if len(set(blocks)) != len(blocks) or not set(blocks) <= set(range(rank)):
        raise _misfit(shape, f"blocks of the axes {list(blocks)}")
    strides = [math.prod(shape[axis + 1 :]) for axis in range(rank)]
    sizes = list(shape)
    for number, axis in enumerate(blocks):
        size = by_axis[rank + number].size
        if size < 1 or shape[axis] % size:
            raise _misfit(shape, f"blocks of {size} along an axis of {shape[axis]}")
        strides.append(strides[axis])
        sizes.append(size)
        strides[axis] *= size
        sizes[axis] //= size
    return strides, sizes


def _misfit(shape, what):
    return ValueError(
        f"A sparse constant does not fit its shape. Received: {what}, shape {list(shape)}"
    )
