"""Operators of constants alone: shapes that a file computes, weights that it rearranges."""

import math
from collections.abc import Callable

import numpy as np

from care_keras.deploy.lift.registry import integers
from care_keras.deploy.lift.slicing import strided_part
from care_keras.deploy.lift.values import normal_axis
from care_keras.deploy.lowering import NoPrimitiveError

# Gives the constant, or a list of one for each output, of `(options, how many outputs, inputs)`.
FOLDS: dict[str, Callable] = {}


def _folds(*operators):
    def register(function):
        FOLDS.update(dict.fromkeys(operators, function))
        return function

    return register


def fold(operator, inputs: list[np.ndarray], charge: Callable[[int], None]) -> list[np.ndarray]:
    """What an operator gives of constants: one array for each output.

    Args:
        operator: Of the file.
        inputs: Its inputs. Sizes that are open are `None` in an array of objects.
        charge: Counts bytes, before they are there.

    Raises:
        NoPrimitiveError: If it is not known what it gives.
    """
    if operator.options.get("fused_activation_function", "NONE") != "NONE":
        raise NoPrimitiveError("of constants with an activation")
    try:
        with np.errstate(all="ignore"):
            outputs = FOLDS[operator.name](operator, charge, *inputs)
    except TypeError:
        # Arithmetic with the `None` of an open size.
        raise NoPrimitiveError("of a size that is known only when it runs") from None
    outputs = outputs if isinstance(outputs, list) else [outputs]
    if len(outputs) != len(operator.outputs):
        raise NoPrimitiveError(f"into {len(outputs)} constants")
    return [np.asarray(output) for output in outputs]


def _quotient(left, right):
    if left.dtype.kind in "fV":
        return left / right
    return _floor(left, right)


def _floor(left, right):
    if not np.all(right):
        raise NoPrimitiveError("by 0")
    return left // right


_TWO = {
    "ADD": np.add,
    "DIV": _quotient,
    "EQUAL": np.equal,
    "FLOOR_DIV": _floor,
    "GREATER": np.greater,
    "GREATER_EQUAL": np.greater_equal,
    "LESS": np.less,
    "LESS_EQUAL": np.less_equal,
    "LOGICAL_AND": np.logical_and,
    "LOGICAL_OR": np.logical_or,
    "MAXIMUM": np.maximum,
    "MINIMUM": np.minimum,
    "MUL": np.multiply,
    "NOT_EQUAL": np.not_equal,
    "SUB": np.subtract,
}


@_folds(*_TWO)
def _two(operator, charge, left, right):
    charge(8 * math.prod(np.broadcast_shapes(left.shape, right.shape)))
    return _TWO[operator.name](left, right)


_ONE = {
    "EXP": np.exp,
    "NEG": np.negative,
    "RSQRT": lambda x: 1.0 / np.sqrt(x),
    "SQRT": np.sqrt,
    "SQUARE": np.square,
}


@_folds(*_ONE)
def _one(operator, charge, x):
    charge(x.nbytes)
    return _ONE[operator.name](x)


@_folds("SELECT", "SELECT_V2")
def _select(operator, charge, where, x, y):
    charge(8 * math.prod(np.broadcast_shapes(where.shape, x.shape, y.shape)))
    return np.where(where, x, y)


@_folds("DYNAMIC_UPDATE_SLICE")
def _update(operator, charge, x, part, begin):
    charge(x.nbytes)
    # As the kernel, it moves a part that would reach beyond the end.
    most = np.subtract(x.shape, part.shape)
    begin = np.clip(np.asarray(integers(begin)), 0, most)
    updated = x.copy()
    updated[tuple(slice(b, b + n) for b, n in zip(begin, part.shape, strict=True))] = part
    return updated


@_folds("CAST", "DEQUANTIZE")
def _cast(operator, charge, x):
    kind = operator.options.get("out_data_type", "FLOAT32").lower()
    if x.dtype == object or kind not in ("float16", "float32", "int32", "int64"):
        return x
    charge(8 * x.size)
    return x.astype("float32" if kind == "float16" else kind)


@_folds("DENSIFY")
def _densify(operator, charge, x):
    # A sparse constant is read with its zeros.
    return x


@_folds("RESHAPE")
def _reshape(operator, charge, x, shape=None):
    new = operator.options["new_shape"] if shape is None else integers(shape)
    return x.reshape(tuple(int(size) for size in new))


@_folds("SQUEEZE")
def _squeeze(operator, charge, x):
    return x.squeeze(tuple(operator.options.get("squeeze_dims") or ()) or None)


@_folds("EXPAND_DIMS")
def _expand(operator, charge, x, axis):
    return np.expand_dims(x, int(axis.reshape(())))


@_folds("TRANSPOSE")
def _transpose(operator, charge, x, order):
    return x.transpose(integers(order))


@_folds("PACK")
def _pack(operator, charge, *inputs):
    charge(8 * sum(x.size for x in inputs))
    return np.stack(inputs, operator.options.get("axis", 0))


@_folds("CONCATENATION")
def _concatenation(operator, charge, *inputs):
    charge(8 * sum(x.size for x in inputs))
    return np.concatenate(inputs, operator.options.get("axis", 0))


@_folds("UNPACK")
def _unpack(operator, charge, x):
    return list(np.moveaxis(x, operator.options.get("axis", 0), 0))


@_folds("SPLIT")
def _split(operator, charge, axis, x):
    return np.split(x, len(operator.outputs), int(axis.reshape(())))


@_folds("GATHER")
def _gather(operator, charge, x, places):
    axis = normal_axis(operator.options.get("axis", 0), x.ndim)
    if operator.options.get("batch_dims"):
        raise NoPrimitiveError("of constants in batches")
    charge(8 * places.size * x.size // max(x.shape[axis], 1))
    return np.take(x, np.asarray(places, np.int64), axis)


@_folds("SLICE")
def _slice(operator, charge, x, begin, size):
    pairs = zip(integers(begin), integers(size), strict=True)
    return x[tuple(slice(b, None if n == -1 else b + n) for b, n in pairs)]


@_folds("STRIDED_SLICE")
def _strided_slice(operator, charge, x, *places):
    part = strided_part(x.shape, *map(integers, places), operator.options)
    x = x[tuple(part.slices)].squeeze(tuple(part.dropped))
    for axis in part.added:
        x = np.expand_dims(x, axis)
    return x


@_folds("REDUCE_PROD")
def _product(operator, charge, x, axes):
    return np.prod(x, tuple(integers(axes)), keepdims=bool(operator.options.get("keep_dims")))


@_folds("FILL")
def _fill(operator, charge, shape, value):
    sizes = integers(shape)
    charge(8 * math.prod(sizes))
    return np.full(sizes, value)


@_folds("BROADCAST_TO")
def _broadcast(operator, charge, x, shape):
    sizes = integers(shape)
    charge(8 * math.prod(sizes))
    return np.broadcast_to(x, sizes)


@_folds("RANGE")
def _range(operator, charge, start, stop, step):
    ends = [x.reshape(()).item() for x in (start, stop, step)]
    if not ends[2]:
        raise NoPrimitiveError("in steps of 0")
    charge(8 * max(int((ends[1] - ends[0]) / ends[2]) + 1, 0))
    return np.arange(*ends, dtype=start.dtype)
