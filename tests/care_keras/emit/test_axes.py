"""Moves on fewer axes give the same numbers in the same order."""

import keras
import numpy as np
import pytest
from keras import ops

from care_keras.deploy import fuse
from care_keras.emit.axes import MOST_AXES, fewer_to_slice, fewer_to_transpose
from care_keras.emit.network import emit_tflite
from care_keras.litert.file import LiteRTFile
from care_keras.tflite_file import read_graph
from tests.care_keras.helpers import infer, numpy_of

GENERATOR = np.random.default_rng(0)


def numbers(shape):
    return np.arange(np.prod(shape)).reshape(shape)


@pytest.mark.parametrize(
    ("shape", "order", "axes"),
    [
        # Windows of a map, and a map of windows.
        ((1, 4, 5, 3, 2, 24), (0, 1, 3, 2, 4, 5), 4),
        # Queries, keys and values of heads.
        ((1, 16, 9, 3, 2, 12), (0, 3, 1, 4, 2, 5), 5),
        ((1, 16, 1, 3, 2, 12), (0, 3, 1, 4, 2, 5), 3),
        # Pixels of channels.
        ((1, 8, 6, 2, 2, 4), (0, 1, 3, 2, 4, 5), 4),
        ((2, 3, 4), (0, 1, 2), 1),
        ((1, 1, 7, 1), (0, 3, 1, 2), 1),
        ((2, 3), (1, 0), 2),
    ],
)
def test_transpositions(shape, order, axes):
    sizes, fewer = fewer_to_transpose(shape, order)
    assert len(sizes) == axes
    x = numbers(shape)
    np.testing.assert_array_equal(
        x.reshape(sizes).transpose(fewer).ravel(), x.transpose(order).ravel()
    )


def test_any_transposition():
    for _ in range(200):
        shape = tuple(GENERATOR.integers(1, 4, GENERATOR.integers(2, 8)))
        order = tuple(GENERATOR.permutation(len(shape)))
        sizes, fewer = fewer_to_transpose(shape, order)
        x = numbers(shape)
        np.testing.assert_array_equal(
            x.reshape(sizes).transpose(fewer).ravel(), x.transpose(order).ravel()
        )


def test_any_slice():
    for _ in range(200):
        shape = GENERATOR.integers(1, 5, GENERATOR.integers(1, 7))
        begin = GENERATOR.integers(0, shape)
        size = np.where(GENERATOR.random(len(shape)) < 0.6, shape, shape - begin)
        begin = np.where(size == shape, 0, begin)
        sizes, first, counts = fewer_to_slice(shape, begin, size)
        assert len(sizes) <= 1 + np.count_nonzero(size != shape)
        cut = numbers(shape)[tuple(slice(b, b + n) for b, n in zip(begin, size, strict=True))]
        fewer = numbers(shape).reshape(sizes)
        fewer = fewer[tuple(slice(b, b + n) for b, n in zip(first, counts, strict=True))]
        np.testing.assert_array_equal(fewer.ravel(), cut.ravel())


def windows(x):
    """Attention's windows of 2x2 of a map, and back."""
    x = ops.transpose(ops.reshape(x, (-1, 4, 2, 6, 2, 5)), (0, 1, 3, 2, 4, 5))
    x = ops.reshape(x, (-1, 24, 4, 5)) * 2.0
    x = ops.transpose(ops.reshape(x, (-1, 4, 6, 2, 2, 5)), (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, 8, 12, 5))


def heads(x):
    """The second of three parts of each head."""
    x = ops.transpose(ops.reshape(x, (-1, 8, 12, 3, 2, 5)), (0, 3, 4, 1, 2, 5))
    return ops.reshape(x[:, 1], (-1, 2, 96, 5))


@pytest.mark.parametrize(("move", "channels"), [(windows, 5), (heads, 30)])
def test_no_tensor_of_a_file_has_many_axes(move, channels):
    images = keras.Input((8, 12, channels))
    model = keras.Model(images, move(images))
    content = emit_tflite(fuse(model), (8, 12))
    ranks = [
        len(tensor.shape)
        for operator in read_graph(content).main.operators
        for tensor in read_graph(content).main.output_tensors(operator)
    ]
    assert max(ranks) <= MOST_AXES
    x = GENERATOR.normal(size=(1, 8, 12, channels)).astype(np.float32)
    (found,) = LiteRTFile(content).run(x).values()
    np.testing.assert_array_equal(found, numpy_of(infer(model, x)))
