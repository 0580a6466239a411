"""Sums, products, quotients and extremes: of two tensors, or of one and a constant."""

import itertools
import types

import keras
import numpy as np

from care_keras import primitives as p
from care_keras.deploy.fuse import Rewrites
from care_keras.deploy.keras_layers.activations import lower_prelu
from care_keras.deploy.keras_layers.arithmetic import lower_division, lower_power
from care_keras.deploy.lift.registry import Call, lifts
from care_keras.deploy.lift.values import Value, align
from care_keras.deploy.lowering import Affine, NoPrimitiveError, as_affine, per_channel

_PAIRS = {
    "ADD": p.Add,
    "MAXIMUM": p.Maximum,
    "MINIMUM": p.Minimum,
    "MUL": p.Multiply,
    "SUB": p.Subtract,
}
# Channels that one number is written out for, so that it can be folded.
_MOST_CHANNELS = 1 << 16


def _two(call):
    """Both operands aligned, the batch's axis of the result, and the place of the constant."""
    operands = [call.input(0), call.input(1)]
    place = next((i for i, x in enumerate(operands) if isinstance(x, np.ndarray)), None)
    if place is not None:
        call.value(1 - place)
        operands[place] = call.weights(place)
    _check_sizes(operands)
    aligned, axis = align(call.build, operands, call.name)
    return aligned, axis, place


def _check_sizes(operands):
    """Refuses sizes that differ and are not 1; of an open one nothing is known."""
    for sizes in itertools.zip_longest(*(x.shape[::-1] for x in operands), fillvalue=1):
        if len(set(sizes) - {1, None}) > 1:
            raise NoPrimitiveError(f"of {', '.join(str(list(x.shape)) for x in operands)}")


@lifts("ADD", "SUB", "MUL")
def lift_arithmetic(call: Call) -> Value:
    """Of a constant a factor or an offset, folded where that is exact."""
    name = call.operator.name
    operands, axis, place = _two(call)
    if place is None:
        return call.finish(_pair(call, operands), axis)
    x, constant = operands[1 - place], operands[place]
    scale, offset = {
        "ADD": (1.0, constant),
        "MUL": (constant, 0.0),
        "SUB": (-1.0, constant) if place == 0 else (1.0, -constant),
    }[name]
    return call.finish(scaled(call, x, scale, offset), axis)


@lifts("ADD_N")
def lift_sum(call: Call) -> Value:
    """One ADD after the other."""
    _check_sizes(call.values())
    tensors, axis = align(call.build, call.values(), call.name)
    total = call.build.tensor(tensors[0])
    for number, x in enumerate(tensors[1:], 1):
        name = call.name if number == len(tensors) - 1 else f"{call.name}_{number}"
        total = call.build.add(p.Add, [total, call.build.tensor(x)], name)
    return Value(total, axis)


@lifts("DIV")
def lift_division(call: Call) -> Value:
    """A factor, if the divisor is constant; else without DIV, whose int8 kernel is not safe."""
    operands, axis, place = _two(call)
    if place == 1:
        if not operands[1].all():
            raise NoPrimitiveError("by 0")
        return call.finish(scaled(call, operands[0], 1.0 / operands[1], 0.0), axis)
    operands = [x if isinstance(x, np.ndarray) else call.build.tensor(x) for x in operands]
    operation = types.SimpleNamespace(name=call.name)
    return call.finish(lower_division(call.build, operation, operands, Rewrites()), axis)


@lifts("POW")
def lift_power(call: Call) -> Value:
    """Products, roots and inverses, where the power is a number that has them."""
    power = call.weights(1)
    if power.size != 1:
        raise NoPrimitiveError("to several powers")
    operation = types.SimpleNamespace(name=call.name)
    operands = [call.tensor(), power.reshape(())]
    return call.like(call.value(), lower_power(call.build, operation, operands, None))


def _pair(call, operands):
    """A primitive of two aligned tensors."""
    primitive = _PAIRS[call.operator.name]
    return call.build.add(primitive, [call.build.tensor(x) for x in operands], call.name)


def scaled(
    call: Call, x: keras.KerasTensor | Affine, scale, offset, name: str | None = None
) -> keras.KerasTensor | Affine:
    """`scale * x + offset`: in the convolution before it, in what comes next, or by itself.

    Args:
        call: The operator.
        x: The input, aligned.
        scale: A number or an array without the batch's axis.
        offset: Likewise.
        name: Of what is added, by default the operator's.
    """
    build, name = call.build, name or call.name
    scale, offset = np.asarray(scale, np.float64), np.asarray(offset, np.float64)
    sizes = Value(x, None).sizes
    channels = sizes[-1] if sizes else None
    small = max(scale.size, offset.size) > 1 or (channels or 0) <= _MOST_CHANNELS
    factors = per_channel(channels, scale, offset) if small else None
    if factors:
        call.charge(32 * channels)
        layer = None if isinstance(x, Affine) else call.build.foldable(x)
        if hasattr(layer, "channel_axes"):
            build.fold_after(layer, *factors)
            return x
        if len(sizes) == 3:
            return as_affine(x).then(*factors, name)
    x = call.build.tensor(x)
    if np.any(scale != 1.0):
        own = f"{name}_scaled" if np.any(offset) else name
        x = build.constant(p.MultiplyConstant, x, scale, own)
        if not np.any(offset):
            return x
    return build.constant(p.AddConstant, x, offset, name)


@lifts("MAXIMUM", "MINIMUM")
def lift_extreme(call: Call) -> Value:
    """With one number `Clip`; with several `relu(x - constant) + constant`."""
    operands, axis, place = _two(call)
    name = call.operator.name
    if place is None:
        return call.finish(_pair(call, operands), axis)
    x, constant = call.build.tensor(operands[1 - place]), operands[place]
    if constant.size and np.all(constant == constant.flat[0]) and _fits(constant, x):
        end = float(constant.flat[0])
        ends = (end, None) if name == "MAXIMUM" else (None, end)
        return call.like(Value(x, axis), call.build.add(p.Clip, x, call.name, *ends))
    above = call.build.constant(p.AddConstant, x, -constant, f"{call.name}_above")
    ends = (0.0, None) if name == "MAXIMUM" else (None, 0.0)
    above = call.build.add(p.Clip, above, f"{call.name}_clipped", *ends)
    return call.like(Value(x, axis), call.build.constant(p.AddConstant, above, constant, call.name))


def _fits(constant, x):
    """Whether a constant repeats no size of a tensor."""
    pairs = zip(constant.shape, x.shape[1:], strict=True)
    return all(size in (1, own) for size, own in pairs)


@lifts("SQUARED_DIFFERENCE")
def lift_squared_difference(call: Call) -> Value:
    """The square of SUB."""
    operands, axis, place = _two(call)
    build, name = call.build, f"{call.name}_difference"
    if place is None:
        x = build.add(p.Subtract, [call.build.tensor(x) for x in operands], name)
    else:
        x = call.build.tensor(scaled(call, operands[1 - place], 1.0, -operands[place], name))
    return call.like(Value(x, axis), build.add(p.Multiply, [x, x], call.name))


@lifts("PRELU")
def lift_prelu(call: Call) -> Value:
    """`relu(x) + alpha * min(x, 0)`."""
    (x, alpha), axis, place = _two(call)
    if place != 1:
        raise NoPrimitiveError("with computed slopes")
    x = call.build.tensor(x)
    if not alpha.ndim or not _fits(alpha, x):
        raise NoPrimitiveError(f"with slopes of {alpha.shape}")
    layer = types.SimpleNamespace(name=call.name, alpha=alpha)
    return call.like(Value(x, axis), lower_prelu(call.build, layer, x, None))
