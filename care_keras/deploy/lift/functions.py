"""Functions of one number, softmax, and the norm of a vector."""

import types
from collections.abc import Callable

from care_keras import primitives as p
from care_keras.deploy.keras_layers.activations import (
    absolute,
    apply,
    softmax,
    square,
    square_root,
)
from care_keras.deploy.keras_layers.normalization import lower_unit_norm
from care_keras.deploy.lift.arithmetic import scaled
from care_keras.deploy.lift.registry import Call, lifts
from care_keras.deploy.lift.values import Value
from care_keras.deploy.lowering import NoPrimitiveError
from care_keras.primitives.fused_activation import name_of

_CLIPS = {
    "RELU": (0.0, None),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
    "RELU_0_TO_1": (0.0, 1.0),
}
_PRIMITIVES = {
    "ELU": p.Elu,
    "EXP": p.Exp,
    "HARD_SWISH": p.HardSwish,
    "LOG": p.Log,
    "LOGISTIC": p.Sigmoid,
    "RSQRT": p.Rsqrt,
    "TANH": p.Tanh,
}


@lifts(*_CLIPS)
def lift_clip(call: Call) -> Value:
    """Fused into what gives its input, where nothing else reads that."""
    x, ends = call.tensor(), _CLIPS[call.operator.name]
    fused = name_of(ends)
    layer = call.build.foldable(x)
    if fused and layer is not None:
        layer.activation = fused
    else:
        x = call.build.add(p.Clip, x, call.name, *ends)
    return call.like(call.value(), x)


@lifts(*_PRIMITIVES)
def lift_function(call: Call) -> Value:
    """A primitive that computes what the operator does."""
    primitive = _PRIMITIVES[call.operator.name]
    return call.like(call.value(), call.build.add(primitive, call.tensor(), call.name))


@lifts("GELU")
def lift_gelu(call: Call) -> Value:
    """GELU."""
    approximate = bool(call.option("approximate", False))
    return call.like(call.value(), call.build.add(p.Gelu, call.tensor(), call.name, approximate))


@lifts("LEAKY_RELU")
def lift_leaky_relu(call: Call) -> Value:
    """LEAKY_RELU."""
    slope = float(call.option("alpha", 0.0))
    return call.like(call.value(), call.build.add(p.LeakyRelu, call.tensor(), call.name, slope))


@lifts("NEG")
def lift_negative(call: Call) -> Value:
    """A factor of -1."""
    x = call.value()
    return call.like(x, scaled(call, x.tensor, -1.0, 0.0))


_COMPOSITES: dict[str, Callable] = {"ABS": absolute, "SQRT": square_root, "SQUARE": square}


@lifts(*_COMPOSITES)
def lift_composite(call: Call) -> Value:
    """Several primitives."""
    function = _COMPOSITES[call.operator.name]
    return call.like(call.value(), function(call.build, call.tensor(), call.name))


@lifts("SOFTMAX", "LOG_SOFTMAX")
def lift_softmax(call: Call) -> Value:
    """Over the last axis."""
    value = call.last_axis()
    beta = float(call.option("beta", 1.0)) if call.operator.name == "SOFTMAX" else 1.0
    x = call.build.tensor(value.tensor)
    if beta != 1.0:
        x = call.build.constant(p.MultiplyConstant, x, beta, f"{call.name}_scaled")
    if call.operator.name == "LOG_SOFTMAX":
        return call.like(value, apply(call.build, "log_softmax", x, call.name))
    return call.like(value, softmax(call.build, x, -1, call.name))


@lifts("L2_NORMALIZATION")
def lift_unit_norm(call: Call) -> Value:
    """To the length 1 over the last axis."""
    value = call.last_axis()
    channels = value.sizes[-1]
    if channels is None:
        raise NoPrimitiveError("of a size that is known only when it runs")
    call.charge(32 * channels)
    layer = types.SimpleNamespace(name=call.name, axis=-1)
    x = lower_unit_norm(call.build, layer, call.build.tensor(value.tensor), None)
    return call.finish(x, value.axis)
