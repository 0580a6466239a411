"""Products with matrices."""

import math

import keras
import numpy as np

from care_keras import primitives as p
from care_keras.deploy.lift.registry import Call, lifts, product
from care_keras.deploy.lift.values import (
    Value,
    align,
    constant_value,
    expand,
    reshape,
    resize_axes,
)
from care_keras.deploy.lowering import Affine, NoPrimitiveError


@lifts("FULLY_CONNECTED")
def lift_dense(call: Call) -> Value:
    """A product with a matrix over the last axis, or over all but the first."""
    if call.option("weights_format") or call.option("shuffled"):
        raise NoPrimitiveError("with shuffled weights")
    if isinstance(call.input(1), Value):
        if call.has(2) or not call.option("keep_num_dims"):
            raise NoPrimitiveError("with a computed matrix")
        left, right = call.last_axis(0, 2), call.last_axis(1, 2)
        return _product(call, [left, right], False, True)
    x, kernel = call.last_axis(), call.weights(1, 2)
    outputs, inputs = kernel.shape
    if not (call.option("keep_num_dims") and x.shape[-1] == inputs):
        rows = product(x.shape) // max(inputs, 1)
        x = reshape(call.build, x, (rows, inputs), f"{call.name}_rows")
    elif x.sizes[-1] != inputs:
        raise NoPrimitiveError(f"of {x.sizes[-1]} numbers and a matrix of {kernel.shape}")
    return _dense(call, x, kernel.T, call.bias(2, outputs))


def _dense(call, x, matrix, bias):
    """A product over the last axis; of a map whose pixels were joined, over that of the map."""
    source = x.tensor if isinstance(x.tensor, Affine) else call.build.before_reshape(x.tensor)
    if isinstance(source, Affine) or len(source.shape) != 4 or source.shape[-1] != len(matrix):
        return call.finish(call.build.dense(x.tensor, matrix, bias, call.name), x.axis)
    result = call.finish(call.build.dense(source, matrix, bias, call.name), None)
    sizes = (*x.sizes[:-1], matrix.shape[1])
    return Value(resize_axes(call.build, result, sizes, f"{call.name}_rows"), x.axis)


@lifts("BATCH_MATMUL")
def lift_matmul(call: Call) -> Value:
    """BATCH_MATMUL; a product with a constant matrix is a convolution of one tap."""
    turned = [bool(call.option("adj_x")), bool(call.option("adj_y"))]
    operands = [call.input(0), call.input(1)]
    for place, operand in enumerate(operands):
        if isinstance(operand, np.ndarray):
            operands[place] = constant = call.weights(place)
            if constant.ndim < 2:
                raise NoPrimitiveError(f"with a constant of {constant.shape}")
            other = call.last_axis(1 - place, 2)
            if math.prod(constant.shape[:-2]) == 1:
                return _with_matrix(call, other, constant, place == 0, turned)
            operands[place] = constant_value(call.build, other, constant, f"{call.name}_constant")
        else:
            operands[place] = call.last_axis(place, 2)
    return _product(call, operands, *turned)


def _with_matrix(call, x, constant, on_the_left, turned):
    """`x @ matrix`, or `matrix @ x`, which is that of both turned."""
    matrix = constant.reshape(constant.shape[-2:])
    build, tensor = call.build, x.tensor
    if turned[1 - on_the_left] != on_the_left:
        matrix = matrix.T
    if turned[on_the_left] != on_the_left:
        tensor = build.add(p.Transpose, call.build.tensor(tensor), f"{call.name}_turned")
    if Value(tensor, None).sizes[-1] != matrix.shape[0]:
        raise NoPrimitiveError(f"of {list(x.shape)} and a matrix of {constant.shape}")
    bias = np.zeros(matrix.shape[1])
    if on_the_left:
        tensor = build.dense(tensor, matrix, bias, f"{call.name}_product")
        value = call.like(x, build.add(p.Transpose, tensor, call.name))
    else:
        value = _dense(call, Value(tensor, x.axis), matrix, bias)
    for _ in range(constant.ndim - len(x.shape)):
        value = expand(build, value, 0, f"{call.name}_expanded")
    return value


def _product(call, operands, left_turned, right_turned):
    (left, right), axis = align(call.build, operands, call.name, free=(-1, -2))
    left, right = call.build.tensor(left), call.build.tensor(right)
    if left_turned:
        left = call.build.add(p.Transpose, left, f"{call.name}_left")
    if left.shape[-1] != right.shape[-1 if right_turned else -2]:
        raise NoPrimitiveError(f"of {list(left.shape[1:])} and {list(right.shape[1:])}")
    rows, joined = left.shape[1:-1], _joined_rows(left.shape[1:-1], right.shape[1:-2])
    if joined != rows:
        left = call.build.add(p.Reshape, left, f"{call.name}_joined", (*joined, left.shape[-1]))
    tensor: keras.KerasTensor = call.build.add(
        p.MatMul, [left, right], call.name, transpose_b=right_turned
    )
    if joined != rows:
        tensor = call.build.add(p.Reshape, tensor, f"{call.name}_apart", (*rows, tensor.shape[-1]))
    return call.finish(tensor, axis)


def _joined_rows(rows, matrices):
    """Sizes of the left side, as heads that share keys have them: rows of one matrix.

    Args:
        rows: How many matrices are on the left, and rows of each.
        matrices: How many are on the right.
    """
    pairs = enumerate(zip(rows, matrices, strict=False))
    shared = next((axis for axis, (one, other) in pairs if one != other), len(matrices))
    if len(rows) != len(matrices) + 1 or set(matrices[shared:]) - {1}:
        raise NoPrimitiveError("of matrices that are not as many on both sides")
    if shared == len(matrices):
        return rows
    return (*rows[:shared], *matrices[shared:], product(rows[shared:]))
