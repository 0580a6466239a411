"""Sums, products and extremes of several tensors, and with numbers."""

import functools

import keras
import numpy as np

from care_keras import primitives as p
from care_keras.deploy.lowering import Affine, Lowered, NoPrimitiveError, lowers

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
    """A primitive of two tensors, of which one may lack axes in front of the channels."""
    if len(left.shape) != len(right.shape):
        raise NoPrimitiveError("its inputs have different numbers of axes")
    return build.add(kind, [left, right], name)


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
    "Divide": p.Divide,
    "TrueDivide": p.Divide,
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
    constant = np.asarray(keras.ops.convert_to_numpy(constant), np.float64)
    if kind in ("Maximum", "Minimum"):
        if constant.ndim:
            raise NoPrimitiveError("its constant is no number")
        ends = (float(constant), None) if kind == "Maximum" else (None, float(constant))
        return build.add(p.Clip, build.tensor(x), operation.name, *ends)
    if kind in ("Divide", "TrueDivide"):
        if swapped or not constant.all():
            raise NoPrimitiveError("it divides by a tensor, or by 0")
        kind, constant = "Multiply", 1.0 / constant
    scale, offset = {
        "Add": (1.0, constant),
        "Multiply": (constant, 0.0),
        "Subtract": (-1.0, constant) if swapped else (1.0, -constant),
    }[kind]
    return _affine(build, x, np.asarray(scale), np.asarray(offset), operation.name)


def _is_value(x):
    return isinstance(x, (keras.KerasTensor, Affine))


def _affine(build, x, scale, offset, name):
    """`scale * x + offset` of numbers, or of arrays."""
    tensor = x.tensor if isinstance(x, Affine) else x
    channels = tensor.shape[-1]
    each = [
        factor.size in (1, channels) and factor.size == (factor.shape or (1,))[-1]
        for factor in (scale, offset)
    ]
    if all(each) and len(tensor.shape) == 4 and channels is not None:
        ones = np.ones(channels)
        scale, offset = (factor.reshape(-1) * ones for factor in (scale, offset))
        return (
            x.then(scale, offset, name) if isinstance(x, Affine) else Affine(x, scale, offset, name)
        )
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
    """The square, or the root."""
    x, power = inputs
    power = None if _is_value(power) else float(np.asarray(power))
    if not isinstance(x, keras.KerasTensor) or power not in (1.0, 2.0, -0.5, 0.5):
        raise NoPrimitiveError("only squares and roots have primitives")
    if power == 1.0:
        return x
    if power == 2.0:
        return build.add(p.Multiply, [x, x], operation.name)
    name = operation.name if power < 0.0 else f"{operation.name}_root"
    root = build.add(p.Rsqrt, x, name)
    return root if power < 0.0 else build.add(p.Multiply, [x, root], operation.name)


@lowers("Matmul")
def lower_matmul(build, operation, inputs, rewrites) -> Lowered:
    """BATCH_MATMUL, or a product with a constant matrix."""
    left, right = inputs
    if _is_value(left) and not _is_value(right):
        matrix = np.asarray(keras.ops.convert_to_numpy(right), np.float64)
        if matrix.ndim != 2:
            raise NoPrimitiveError("its constant is no matrix")
        return build.dense(left, matrix, np.zeros(matrix.shape[1]), operation.name)
    if not (_is_value(left) and _is_value(right)) or len(left.shape) != len(right.shape):
        raise NoPrimitiveError("its inputs have different numbers of axes")
    if len(left.shape) < 3 or left.shape[:-2] != right.shape[:-2]:
        raise NoPrimitiveError("the axes before the matrices differ")
    return build.add(p.MatMul, [left, right], operation.name)
