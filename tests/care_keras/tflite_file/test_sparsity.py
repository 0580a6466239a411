"""Sparse constants, held to LiteRT's own kernel; and those that cannot be."""

import itertools
import time

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from care_keras.deploy import lift
from care_keras.litert.file import LiteRTFile
from care_keras.tflite_file import read_graph
from care_keras.tflite_file.writer import Writer
from tests.care_keras.tflite_file.files import edited

_VECTORS = {
    np.uint8: (schema.SparseIndexVector.Uint8Vector, schema.Uint8VectorT),
    np.uint16: (schema.SparseIndexVector.Uint16Vector, schema.Uint16VectorT),
    np.int32: (schema.SparseIndexVector.Int32Vector, schema.Int32VectorT),
}


def matrix(shape, dtype=np.float32, share=0.3):
    generator = np.random.default_rng(2)
    return (generator.normal(size=shape) * (generator.uniform(size=shape) < share)).astype(dtype)


def stored(dense, order, sparse, blocks=(), places=np.uint8):
    """The numbers and the table of a constant, written out place by place.

    Args:
        dense: The constant.
        order: Axes from the outermost, of blocks those from its rank on.
        sparse: Which of them are stored without what is zero.
        blocks: `(axis, size)` of each axis of blocks.
        places: Type of segments and indices.
    """
    sizes = [*dense.shape, *(size for _, size in blocks)]
    for axis, size in blocks:
        sizes[axis] //= size

    def number(coordinates):
        place = list(coordinates[: dense.ndim])
        for (axis, size), inside in zip(blocks, coordinates[dense.ndim :], strict=True):
            place[axis] = place[axis] * size + inside
        return dense[tuple(place)]

    def numbers(prefix):
        """All numbers behind the places along the first axes of the order."""
        rest = order[len(prefix) :]
        for inner in itertools.product(*(range(sizes[axis]) for axis in rest)):
            coordinates = dict(zip(order, (*prefix, *inner), strict=True))
            yield number([coordinates[axis] for axis in range(len(sizes))])

    table, rows = schema.SparsityParametersT(), [()]
    table.traversalOrder, table.dimMetadata = list(order), []
    table.blockMap = [axis for axis, _ in blocks]
    for axis in order:
        level, inner = schema.DimensionMetadataT(), [[] for _ in rows]
        for row, found in zip(rows, inner, strict=True):
            found += [(*row, place) for place in range(sizes[axis])]
            if axis in sparse:
                found[:] = [one for one in found if any(numbers(one))]
        if axis in sparse:
            level.format = schema.DimensionType.SPARSE_CSR
            segments = np.cumsum([0, *map(len, inner)])
            indices = [row[-1] for found in inner for row in found]
            kind, vector = _VECTORS[places]
            level.arraySegmentsType = level.arrayIndicesType = kind
            level.arraySegments, level.arrayIndices = vector(), vector()
            level.arraySegments.values = segments.astype(places)
            level.arrayIndices.values = np.array(indices, places)
        else:
            level.format, level.denseSize = schema.DimensionType.DENSE, sizes[axis]
        table.dimMetadata.append(level)
        rows = [row for found in inner for row in found]
    values = [next(numbers(row)) for row in rows]
    return np.array(values, dense.dtype), table


def sparse_file(dense, values, table, change=lambda tensor: None):
    """A file that adds a sparse constant to its input."""
    writer = Writer("test")
    shape = (1, *dense.shape)
    x = writer.tensor("x", shape, np.float32)
    constant = writer.constant("stored", dense)
    y = writer.tensor("dense", dense.shape, dense.dtype)
    y = writer.operator("DENSIFY", 1, [constant], y, schema.DensifyOptionsT())
    if dense.dtype == np.float16:
        wide = writer.tensor("wide", dense.shape, np.float32)
        y = writer.operator("DEQUANTIZE", 3, [y], wide, schema.DequantizeOptionsT())
    total = writer.operator(
        "ADD", 1, [x, y], writer.tensor("sum", shape, np.float32), schema.AddOptionsT()
    )
    content = writer.finish({"x": x}, {"sum": total})

    def edit(model):
        (tensor,) = [one for one in model.subgraphs[0].tensors if one.name == b"stored"]
        tensor.sparsity = table
        model.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)
        change(tensor)

    return edited(content, edit)


def constant_of(content):
    (tensor,) = [one for one in read_graph(content).tensors if one.is_sparse]
    return tensor.data


CASES = {
    "rows": (matrix((6, 8)), (0, 1), {1}),
    "columns": (matrix((6, 8)), (1, 0), {0}),
    "both": (matrix((6, 8), share=0.1), (0, 1), {0, 1}),
    "none": (matrix((6, 8)), (0, 1), set()),
    "nothing in it": (np.zeros((3, 4), np.float32), (0, 1), {1}),
    "a kernel": (matrix((5, 1, 1, 7)), (0, 1, 2, 3), {3}),
    "half precision": (matrix((5, 1, 1, 7), np.float16), (0, 1, 2, 3), {3}),
    "wide places": (matrix((5, 300)), (0, 1), {1}, (), np.uint16),
    "blocks": (matrix((6, 8), share=0.1), (0, 1, 2), {1}, ((1, 4),)),
    "blocks of two axes": (
        matrix((8, 8), share=0.1),
        (0, 1, 2, 3),
        {1},
        ((0, 4), (1, 2)),
        np.int32,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_what_litert_makes_of_it(name):
    dense, *how = CASES[name]
    content = sparse_file(dense, *stored(dense, *how))
    np.testing.assert_array_equal(constant_of(content), dense)
    x = np.ones((1, *dense.shape), np.float32)
    by_litert = LiteRTFile(content, xnnpack=False).run(x)["sum"]
    np.testing.assert_array_equal(by_litert, x + dense)
    np.testing.assert_array_equal(np.asarray(lift(content)(x)), by_litert)


def _level(place):
    return lambda tensor: tensor.sparsity.dimMetadata[place]


DAMAGE = {
    "an axis of 5 for 6": lambda t: setattr(_level(0)(t), "denseSize", 5),
    "segments that are not": lambda t: setattr(
        _level(1)(t).arraySegments, "values", np.arange(5, dtype=np.uint8)
    ),
    "places outside of it": lambda t: _level(1)(t).arrayIndices.values.fill(8),
    "axes that are not its own": lambda t: setattr(t.sparsity, "traversalOrder", [0, 0]),
    "blocks of the axes .7.": lambda t: setattr(t.sparsity, "blockMap", [7]),
    "blocks of 4 along an axis of 6": lambda t: setattr(t, "shape", [8, 6]),
    "bytes for": lambda t: setattr(t, "type", schema.TensorType.FLOAT16),
    "shape .600000, 800000.": lambda t: setattr(t, "shape", [600000, 800000]),
    "shape .0, 2147483647.": lambda t: setattr(t, "shape", [0, 2147483647]),
}


@pytest.mark.parametrize("reason", DAMAGE)
def test_what_does_not_fit_is_one_line(reason):
    dense, how = matrix((6, 8)), [(0, 1), {1}]
    if reason.startswith("blocks"):
        how = [(0, 1, 2), {1}, ((1, 4),)]
    content = sparse_file(dense, *stored(dense, *how), DAMAGE[reason])
    started = time.process_time()
    with pytest.raises(ValueError, match=f"A sparse constant does not fit.*{reason}") as error:
        constant_of(content)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="cannot be written on primitives: DENSIFY") as error:
        lift(content)
    assert "\n" not in str(error.value) and time.process_time() - started < 5.0


def test_more_zeros_than_a_file_may_stand_for():
    """A row of a few bytes that asks for a terabyte."""
    dense = matrix((1, 8))
    values, table = stored(dense, (0, 1), {1})
    content = sparse_file(
        dense, values, table, lambda tensor: setattr(tensor, "shape", [1, 2**31 - 1])
    )
    with pytest.raises(ValueError, match="DENSIFY of more weights than a file of this size has"):
        lift(content)


def test_damaged_tables_are_read_or_refused():
    dense = matrix((6, 8))
    content = sparse_file(dense, *stored(dense, (0, 1), {1}))
    generator, read = np.random.default_rng(0), 0
    for _ in range(600):
        damaged = bytearray(content)
        damaged[generator.integers(8, len(content))] = generator.choice([0, 1, 127, 128, 255])
        try:
            sparse = [one for one in read_graph(bytes(damaged)).tensors if one.is_sparse]
            read += all(one.elements > 1 << 20 or one.data.shape == one.shape for one in sparse)
        except ValueError as error:
            assert "\n" not in str(error) and "Received: " in str(error)
    assert 100 < read < 590
