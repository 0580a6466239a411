"""Sums, products and extremes of several tensors, and with numbers and arrays."""

import numpy as np
from keras import layers, ops

from tests.care_keras.deploy.keras_layers.harness import LayerCase, all_checks


def maps(x, count=2):
    return [layers.Conv2D(4, 3, padding="same")(x) for _ in range(count)]


def merged(layer, count=2, **kwargs):
    return LayerCase(lambda x: layer()(maps(x, count)), **kwargs)


def gated(x):
    """Squeeze and excitation."""
    (y,) = maps(x, 1)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
    return layers.Multiply()([y, layers.Conv2D(4, 1, activation="sigmoid")(gate)])


def rows(x):
    return layers.Reshape((-1, 4))(*maps(x, 1))


def averages(x):
    return layers.GlobalMaxPooling2D()(*maps(x, 1))


def dot(part, axes, **kwargs):
    return LayerCase(lambda x: layers.Dot(axes)([part(x), part(x)]), **kwargs)


MERGES = {
    "add of 3": merged(layers.Add, 3),
    "subtract": merged(layers.Subtract),
    "multiply": merged(layers.Multiply),
    "multiply of 3": merged(layers.Multiply, 3),
    "multiply by a gate": LayerCase(gated),
    "maximum": merged(layers.Maximum),
    "maximum of 3": merged(layers.Maximum, 3),
    "minimum": merged(layers.Minimum),
    "average": merged(layers.Average),
    "average of 3": merged(layers.Average, 3),
    "concatenate": merged(layers.Concatenate, 3),
    "concatenate columns": merged(lambda: layers.Concatenate(axis=2)),
    "concatenate rows": merged(lambda: layers.Concatenate(axis=-3)),
    "concatenate of rank 2": LayerCase(lambda x: layers.Concatenate()([averages(x), averages(x)])),
    "dot of rank 2": dot(averages, 1),
    "dot of rows": dot(rows, 2, any_size=False),
    "dot of channels": dot(rows, 1),
    "dot of rows with channels": LayerCase(
        lambda x: layers.Dot((2, 1))([rows(x), layers.Permute((2, 1))(rows(x))])
    ),
    "add of one channel": LayerCase(
        lambda x: layers.Add()([layers.Conv2D(4, 1)(x), layers.Conv2D(1, 1)(x)])
    ),
    "add of itself": LayerCase(lambda x: layers.Add()([x, x])),
}

ROW = np.asarray([0.5, -1.0, 2.0, 0.3], np.float32)
COLUMN = np.linspace(-1.0, 1.0, 8, dtype=np.float32).reshape(8, 1)


def positive(x):
    return ops.exp(layers.Conv2D(4, 1)(x))


OPERATIONS = {
    "tensor + tensor": lambda x: ops.add(*maps(x)),
    "tensor - tensor": lambda x: maps(x)[0] - maps(x)[1],
    "tensor * tensor": lambda x: maps(x)[0] * maps(x)[1],
    "tensor + number": lambda x: maps(x)[0] + 0.5,
    "number + tensor": lambda x: 1 + maps(x)[0],
    "tensor - number": lambda x: maps(x)[0] - 0.5,
    "number - tensor": lambda x: 0.5 - maps(x)[0],
    "tensor * number": lambda x: maps(x)[0] * 0.3,
    "number * tensor": lambda x: ops.multiply(2.0, maps(x)[0]),
    "tensor / number": lambda x: maps(x)[0] / 3.0,
    "tensor + array": lambda x: maps(x)[0] + ROW,
    "array - tensor": lambda x: ops.subtract(ROW, maps(x)[0]),
    "tensor * array": lambda x: maps(x)[0] * ROW,
    "tensor / array": lambda x: maps(x)[0] / ROW,
    "array behind a convolution": lambda x: layers.Conv2D(3, 1)(maps(x)[0] * ROW + ROW),
    "rank 2 * number + array": lambda x: averages(x) * 0.5 + ROW,
    "rank 3 * array": lambda x: rows(x) * ROW,
    "one channel + array": lambda x: layers.Conv2D(1, 1)(x) + ROW,
    "maximum of numbers": lambda x: ops.maximum(maps(x)[0], 0.1),
    "minimum of numbers": lambda x: ops.minimum(-0.1, maps(x)[0]),
    "maximum": lambda x: ops.maximum(*maps(x)),
    "power 2": lambda x: maps(x)[0] ** 2,
    "power 3": lambda x: ops.power(maps(x)[0], 3),
    "power 1": lambda x: maps(x)[0] ** 1,
    "power 0.5": lambda x: positive(x) ** 0.5,
    "power -0.5": lambda x: positive(x) ** -0.5,
    "power -1": lambda x: positive(x) ** -1,
    "tensor / positive tensor": lambda x: maps(x)[0] / positive(x),
    "tensor / positive sum": lambda x: maps(x)[0] / (1.0 + ops.sum(positive(x), -1, keepdims=True)),
    "number / positive tensor": lambda x: 2.0 / positive(x),
    "array / positive tensor": lambda x: ops.divide(ROW, positive(x) + 1.0),
    "reciprocal": lambda x: ops.reciprocal(positive(x)),
    "matmul": lambda x: ops.matmul(rows(x), layers.Permute((2, 1))(rows(x))),
    "matmul with a matrix": lambda x: ops.matmul(rows(x), np.diag(ROW)[:, :3] + 0.1),
    "map @ matrix": lambda x: maps(x)[0] @ (np.diag(ROW) + 0.1),
}
FIXED_SIZE = {
    "map + column": lambda x: maps(x)[0] + COLUMN,
    "map * image": lambda x: maps(x)[0] * np.linspace(0.5, 1.0, 48).reshape(1, 6, 8, 1),
    "column - map": lambda x: ops.subtract(COLUMN, maps(x)[0]),
    "embeddings of places": lambda x: rows(x) + np.linspace(-1.0, 1.0, 192).reshape(1, 48, 4),
}
CASES = {name: LayerCase(make) for name, make in OPERATIONS.items()}
CASES |= {name: LayerCase(make, any_size=False) for name, make in FIXED_SIZE.items()}
# What is no positive number is squared first: of small numbers few codes are left.
CASES["tensor / tensor"] = LayerCase(
    lambda x: ops.divide(layers.Conv2D(3, 1)(x), 3.0 + ops.tanh(x)), snr=15.0
)


@all_checks(MERGES)
def test_merge(case, check):
    check(case)


@all_checks(CASES)
def test_operation(case, check):
    check(case)
