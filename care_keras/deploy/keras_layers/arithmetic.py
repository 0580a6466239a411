"""Sums, products and extremes of several tensors, and with numbers."""

import functools

import keras
import numpy as np

from care_keras import primitives as p
from care_keras.deploy.keras_layers.activations import quotient_of_positive, square_root
from care_keras.deploy.lowering import (
    Affine,
    Lowered,
    NoPrimitiveError,
    as_affine,
    lowers,
    per_channel,
    shape_of,
)
from care_keras.primitives.folding import array

_MERGES = {
    keras.layers.Add: p.Add,
    keras.layers.Subtract: p.Subtract,
    keras.layers.Multiply: p.Multiply,
    keras.layers.Maximum: p.Maximum,
    keras.layers.Minimum: p.Minimum,
}


@lowers(*_MERGES)
def lower_merge(build, layer, inputs, rewrites) -> Lowered:
    """An operation of two tensors after the other."""
    (kind,) = {kind for base, kind in _MERGES.items() if isinstance(layer, base)}
    return _chain(build, kind, inputs, layer.name)


def _chain(build, kind, inputs, name):
    inputs = inputs if isinstance(inputs, list) else [inputs]
    last = len(inputs) - 2
    steps = iter(range(len(inputs)))

    def two(left, right):
        number = next(steps)
        own = name if number == last else f"{name}_{number + 1}"
        return pair(build, kind, left, right, own)

    return functools.reduce(two, inputs)


def pair(build, kind, left, right, name) -> keras.KerasTensor:
    """A primitive of two tensors of as many axes."""
    _check_axes(left, right)
    return build.add(kind, [left, right], name)


def _check_axes(left, right):
    if len(left.shape) != len(right.shape):
        raise NoPrimitiveError("its inputs have different numbers of axes")


@lowers(keras.layers.Average)
def lower_average(build, layer, inputs, rewrites) -> Lowered:
    """The sum over the number of inputs."""
    total = _chain(build, p.Add, inputs, f"{layer.name}_sum")
    return build.constant(p.MultiplyConstant, total, 1.0 / len(inputs), layer.name)


@lowers(keras.layers.Dot)
def lower_dot(build, layer, inputs, rewrites) -> Lowered:
    """BATCH_MATMUL."""
    axes = layer.axes if isinstance(layer.axes, (list, tuple)) else (layer.axes, layer.axes)
    ranks = [len(x.shape) for x in inputs]
    axes = [axis % rank for axis, rank in zip(axes, ranks, strict=True)]
    if layer.normalize or ranks not in ([2, 2], [3, 3]):
        raise NoPrimitiveError("it normalizes, or its inputs have more than three axes")
    left, right = inputs
    if ranks == [2, 2]:
        product = build.add(p.Multiply, inputs, f"{layer.name}_product")
        mean = build.add(p.Mean, product, f"{layer.name}_mean", (1,))
        return build.constant(p.MultiplyConstant, mean, left.shape[1], layer.name)
    if axes[0] == 1:
        left = build.add(p.Transpose, left, f"{layer.name}_left")
    return build.add(p.MatMul, [left, right], layer.name, transpose_b=axes[1] == 2)


_OPERATIONS = {
    "Add": p.Add,
    "Subtract": p.Subtract,
    "Multiply": p.Multiply,
    "Maximum": p.Maximum,
    "Minimum": p.Minimum,
}


@lowers(*_OPERATIONS, takes_affine=True)
def lower_operation(build, operation, inputs, rewrites) -> Lowered:
    """An operation of two tensors, or of a tensor and a number or an array."""
    kind = type(operation).__name__
    left, right = inputs
    if _is_value(left) and _is_value(right):
        left, right = build.tensor(left), build.tensor(right)
        return pair(build, _OPERATIONS[kind], left, right, operation.name)
    swapped = not _is_value(left)
    x, constant = (right, left) if swapped else (left, right)
    constant = _array(constant)
    if kind in ("Maximum", "Minimum"):
        if constant.ndim:
            raise NoPrimitiveError("its constant is no number")
        ends = (float(constant), None) if kind == "Maximum" else (None, float(constant))
        return build.add(p.Clip, build.tensor(x), operation.name, *ends)
    scale, offset = {
        "Add": (1.0, constant),
        "Multiply": (constant, 0.0),
        "Subtract": (-1.0, constant) if swapped else (1.0, -constant),
    }[kind]
    return _affine(build, x, np.asarray(scale), np.asarray(offset), operation.name)


@lowers("Divide", "TrueDivide", takes_affine=True)
def lower_division(build, operation, inputs, rewrites) -> Lowered:
    """A product with the inverse, as int8 DIV can end the process; DIV if that is asked for."""
    x, divisor = inputs
    name = operation.name
    if not _is_value(divisor):
        divisor = _array(divisor)
        if not divisor.all():
            raise NoPrimitiveError("it divides by 0")
        return _affine(build, x, 1.0 / divisor, np.zeros(()), name)
    divisor = build.tensor(divisor)
    if not _is_value(x):
        inverse = _inverse(build, divisor, f"{name}_inverse")
        return _affine(build, inverse, _array(x), np.zeros(()), name)
    x = build.tensor(x)
    if not rewrites.division_free:
        return pair(build, p.Divide, x, divisor, name)
    if is_positive(build, divisor):
        _check_axes(x, divisor)
        return quotient_of_positive(build, x, divisor, name)
    return pair(build, p.Multiply, x, _inverse(build, divisor, f"{name}_inverse"), name)


@lowers("Reciprocal")
def lower_reciprocal(build, operation, x, rewrites) -> Lowered:
    """The inverse."""
    return _inverse(build, x, operation.name)


def _inverse(build, x, name):
    """`1 / x`, which has the sign of `x`, by the inverse of a root."""
    if is_positive(build, x):
        root = build.add(p.Rsqrt, x, f"{name}_root")
        return build.add(p.Multiply, [root, root], name)
    square = build.add(p.Multiply, [x, x], f"{name}_square")
    return quotient_of_positive(build, x, square, name)


# Of inputs from 0 on all of them give numbers from 0 on.
_KEEP_SIGN = (
    p.Add,
    p.AddEpsilon,
    p.AddOne,
    p.AveragePool2D,
    p.Concatenate,
    p.Max,
    p.Maximum,
    p.MaxPool2D,
    p.Mean,
    p.Minimum,
    p.Multiply,
    p.Permute,
    p.Reshape,
    p.Resize,
    p.Slice,
    p.Transpose,
)


def is_positive(build, x) -> bool:
    """Whether what gives a tensor says that no number of it is under 0."""
    found = build.producer(x)
    if found is None:
        return False
    layer, given = found
    given = given if isinstance(given, list) else [given]
    if isinstance(layer, (p.Exp, p.HardSigmoid, p.Rsqrt, p.Sigmoid, p.Softmax)):
        return True
    if isinstance(layer, p.Clip):
        return layer.low is not None and layer.low >= 0.0
    if getattr(layer, "activation", None) in ("relu", "relu6"):
        return True
    if isinstance(layer, p.Multiply) and given[0] is given[-1]:
        return True
    if isinstance(layer, (p.AddConstant, p.MultiplyConstant, p.Conv2D, p.DepthwiseConv2D)):
        weights = all((array(weight) >= 0.0).all() for weight in layer.weights)
        return weights and is_positive(build, given[0])
    return isinstance(layer, _KEEP_SIGN) and all(is_positive(build, one) for one in given)


def _array(constant):
    return np.asarray(keras.ops.convert_to_numpy(constant), np.float64)


def _is_value(x):
    return isinstance(x, (keras.KerasTensor, Affine))


def _affine(build, x, scale, offset, name):
    """`scale * x + offset` of numbers, or of arrays."""
    shape = shape_of(x)
    factors = per_channel(shape[-1], scale, offset)
    if factors and len(shape) == 4 and max(scale.ndim, offset.ndim) <= 4:
        return as_affine(x).then(*factors, name)
    x = build.tensor(x)
    if not np.all(scale == 1.0):
        added = np.any(offset)
        own = f"{name}_scaled" if added else name
        x = build.constant(p.MultiplyConstant, x, _without_batch(scale, x), own)
        if not added:
            return x
    return build.constant(p.AddConstant, x, _without_batch(offset, x), name)


def _without_batch(constant, x):
    """A constant without the batch's axis."""
    if constant.ndim < len(x.shape):
        return constant
    if constant.ndim > len(x.shape) or constant.shape[0] != 1:
        raise NoPrimitiveError(f"its constant has the shape {constant.shape}")
    return constant[0]


@lowers("Power")
def lower_power(build, operation, inputs, rewrites) -> Lowered:
    """Products of the number with itself, its root, and their inverses."""
    x, power = inputs
    name = operation.name
    if not isinstance(x, keras.KerasTensor) or _is_value(power) or _array(power).ndim:
        raise NoPrimitiveError("its power is no number")
    power = float(_array(power))
    if power == 0.5:
        return square_root(build, x, name)
    if power == -0.5:
        return build.add(p.Rsqrt, x, name)
    if power == -1.0:
        return _inverse(build, x, name)
    if power not in (1.0, 2.0, 3.0, 4.0):
        raise NoPrimitiveError(f"power={power}")
    product = x
    for number in range(2, int(power) + 1):
        own = name if number == power else f"{name}_{number}"
        product = build.add(p.Multiply, [product, x], own)
    return product


@lowers("Matmul")
def lower_matmul(build, operation, inputs, rewrites) -> Lowered:
    """BATCH_MATMUL, or a product with a constant matrix."""
    left, right = inputs
    if _is_value(left) and not _is_value(right):
        matrix = _array(right)
        if matrix.ndim != 2:
            raise NoPrimitiveError("its constant is no matrix")
        return build.dense(left, matrix, np.zeros(matrix.shape[1]), operation.name)
    if not (_is_value(left) and _is_value(right)) or len(left.shape) != len(right.shape):
        raise NoPrimitiveError("its inputs have different numbers of axes")
    if len(left.shape) < 3 or left.shape[:-2] != right.shape[:-2]:
        raise NoPrimitiveError("the axes before the matrices differ")
    return build.add(p.MatMul, [left, right], operation.name)
