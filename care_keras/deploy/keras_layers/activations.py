"""Activations: layers, functions of `keras.activations`, and operations of `keras.ops`.

Those that TFLite has no int8 kernel for are written on ones that it has.
"""

import keras
import numpy as np

from care_keras import primitives as p
from care_keras.deploy.lowering import Lowered, NoPrimitiveError, find_lowering, lowers
from care_keras.primitives.folding import array
from care_keras.primitives.fused_activation import name_of

# Keras's own constants of SELU.
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


# What functions of `keras.activations` leave.
_ENDS = {"relu": (0.0, None), "relu6": (0.0, 6.0), "hard_tanh": (-1.0, 1.0)}


def fused_activation(operation) -> str | None:
    """Name of the activation that an operation is, if TFLite computes it within the one before."""
    return name_of(_limits(operation))


def _limits(operation):
    """The ends that an operation clips at, or `None`."""
    kind = type(operation).__name__
    if isinstance(operation, keras.layers.ReLU):
        plain = not operation.negative_slope and not operation.threshold
        return (0.0, operation.max_value) if plain else None
    if isinstance(operation, keras.layers.Activation):
        return _ENDS.get(_name(operation.activation))
    if isinstance(operation, keras.layers.Layer):
        return None
    if kind == "Clip":
        ends = operation.x_min, operation.x_max
        numbers = all(end is None or np.ndim(end) == 0 for end in ends)
        return tuple(None if end is None else float(end) for end in ends) if numbers else None
    own = {"Relu": "relu", "Relu6": "relu6", "HardTanh": "hard_tanh"}.get(kind)
    return _ENDS.get(own)


def lower_activation(build, activation, x, name) -> keras.KerasTensor:
    """The activation that a layer applies to what it has computed.

    Args:
        build: The `Builder`.
        activation: A function of `keras.activations`, or a layer.
        x: What was computed, which nothing else reads.
        name: Of the layer.
    """
    is_layer = isinstance(activation, keras.layers.Layer)
    kind = "" if is_layer else _name(activation)
    if kind == "linear":
        return x
    fused = fused_activation(activation) if is_layer else name_of(_ENDS.get(kind))
    layer = build.product_behind(x)
    if fused and getattr(layer, "activation", None) == "linear":
        layer.activation = fused
        return x
    if not is_layer:
        return apply(build, kind, x, f"{name}_{kind}")
    lower = find_lowering(activation)
    if lower is None:
        raise NoPrimitiveError(f"activation={type(activation).__name__}")
    return build.tensor(lower(build, activation, x, None))


def _name(activation):
    """Name of a function in `keras.activations`; others may have the same name there."""
    name = getattr(activation, "__name__", "")
    if getattr(keras.activations, name, None) is activation:
        return name
    # Of the same functions in `keras.ops` one has another default.
    if getattr(keras.ops, name, None) is activation:
        return "gelu_by_tanh" if name == "gelu" else name
    return repr(activation)


def apply(build, kind, x, name) -> keras.KerasTensor:
    """An activation by its name in `keras.activations`."""
    function = _FUNCTIONS.get(kind)
    if function is None:
        raise NoPrimitiveError(f"activation={kind}")
    return function(build, x, name)


def _clip(low, high):
    return lambda build, x, name: build.add(p.Clip, x, name, low, high)


def _one(primitive, **kwargs):
    return lambda build, x, name: build.add(primitive, x, name, **kwargs)


def _silu(build, x, name):
    return build.add(p.Multiply, [x, build.add(p.Sigmoid, x, f"{name}_sigmoid")], name)


def _hard_sigmoid(build, x, name):
    return build.add(p.HardSigmoid, x, name)


def _hard_silu(build, x, name):
    return build.add(p.HardSwish, x, name)


def elu(build, x, name, alpha=1.0, scale=1.0) -> keras.KerasTensor:
    """`scale * x` where positive, `scale * alpha * (exp(x) - 1)` elsewhere."""
    if alpha == scale == 1.0:
        return build.add(p.Elu, x, name)
    above = build.add(p.Clip, x, f"{name}_positive", 0.0)
    below = build.add(p.Elu, build.add(p.Clip, x, f"{name}_negative", None, 0.0), f"{name}_elu")
    if scale != 1.0:
        above = build.constant(p.MultiplyConstant, above, scale, f"{name}_scaled")
    below = build.constant(p.MultiplyConstant, below, scale * alpha, f"{name}_alpha")
    return build.add(p.Add, [above, below], name)


def _selu(build, x, name):
    return elu(build, x, name, _SELU_ALPHA, _SELU_SCALE)


def absolute(build, x, name) -> keras.KerasTensor:
    """`|x|`."""
    above = build.add(p.Clip, x, f"{name}_positive", 0.0)
    below = build.add(p.Clip, x, f"{name}_negative", None, 0.0)
    return build.add(p.Subtract, [above, below], name)


def _softplus(build, x, name):
    # `relu(x) - log(sigmoid(|x|))`: of a number from a half to 1 the logarithm needs few codes.
    size = absolute(build, x, f"{name}_size")
    log = build.add(p.Log, build.add(p.Sigmoid, size, f"{name}_sigmoid"), f"{name}_log")
    above = build.add(p.Clip, x, f"{name}_positive", 0.0)
    return build.add(p.Subtract, [above, log], name)


def _softsign(build, x, name):
    divisor = absolute(build, x, f"{name}_size")
    divisor = build.constant(p.AddConstant, divisor, 1.0, f"{name}_divisor")
    return quotient_of_positive(build, x, divisor, name)


def quotient_of_positive(build, x, divisor, name) -> keras.KerasTensor:
    """`x / divisor` of a positive divisor: times the inverse of its root, twice."""
    root = build.add(p.Rsqrt, divisor, f"{name}_root")
    half = build.add(p.Multiply, [x, root], f"{name}_half")
    return build.add(p.Multiply, [half, root], name)


def _mish(build, x, name):
    tanh = build.add(p.Tanh, _softplus(build, x, f"{name}_softplus"), f"{name}_tanh")
    return build.add(p.Multiply, [x, tanh], name)


def _negative(build, x, name):
    return build.constant(p.MultiplyConstant, x, -1.0, name)


def _log_sigmoid(build, x, name):
    opposite = _negative(build, x, f"{name}_opposite")
    return _negative(build, _softplus(build, opposite, f"{name}_softplus"), name)


def _log_softmax(build, x, name):
    return build.add(p.Log, softmax(build, x, -1, f"{name}_softmax"), name)


def _tanh_shrink(build, x, name):
    return build.add(p.Subtract, [x, build.add(p.Tanh, x, f"{name}_tanh")], name)


def square(build, x, name) -> keras.KerasTensor:
    """`x * x`."""
    return build.add(p.Multiply, [x, x], name)


def square_root(build, x, name) -> keras.KerasTensor:
    """`sqrt(x)`, which is `x` times the inverse of it."""
    # 0 times the inverse of its root would be no number.
    safe = build.add(p.AddEpsilon, x, f"{name}_positive", 1e-30)
    return build.add(p.Multiply, [x, build.add(p.Rsqrt, safe, f"{name}_root")], name)


def _leaky(slope):
    return lambda build, x, name: build.add(p.LeakyRelu, x, name, slope)


def softmax(build, x, axis, name) -> keras.KerasTensor:
    """SOFTMAX over any axis but the batch's."""
    rank = len(x.shape)
    axis = axis % rank
    if axis == 0:
        raise NoPrimitiveError("it takes the images of a batch together")
    if axis == rank - 1:
        return build.add(p.Softmax, x, name)
    order = list(range(1, rank))
    order[axis - 1], order[-1] = order[-1], order[axis - 1]
    x = build.add(p.Permute, x, f"{name}_axis_last", order)
    x = build.add(p.Softmax, x, f"{name}_softmax")
    return build.add(p.Permute, x, name, order)


_FUNCTIONS = {
    "elu": _one(p.Elu),
    "exponential": _one(p.Exp),
    "gelu": _one(p.Gelu),
    "gelu_by_tanh": _one(p.Gelu, approximate=True),
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": _hard_silu,
    "hard_swish": _hard_silu,
    "hard_tanh": _clip(-1.0, 1.0),
    "leaky_relu": _leaky(0.2),
    "linear": lambda build, x, name: x,
    "log_sigmoid": _log_sigmoid,
    "log_softmax": _log_softmax,
    "mish": _mish,
    "relu": _clip(0.0, None),
    "relu6": _clip(0.0, 6.0),
    "selu": _selu,
    "sigmoid": _one(p.Sigmoid),
    "silu": _silu,
    "softmax": lambda build, x, name: softmax(build, x, -1, name),
    "softplus": _softplus,
    "softsign": _softsign,
    "swish": _silu,
    "tanh": _one(p.Tanh),
    "tanh_shrink": _tanh_shrink,
}
# Of `keras.ops`, by the class of the operation.
_OPERATIONS = {
    "Abs": absolute,
    "Absolute": absolute,
    "Exp": _one(p.Exp),
    "HardSigmoid": _hard_sigmoid,
    "HardSilu": _hard_silu,
    "HardTanh": _clip(-1.0, 1.0),
    "Log": _one(p.Log),
    "LogSigmoid": _log_sigmoid,
    "Mish": _mish,
    "Negative": _negative,
    "Relu": _clip(0.0, None),
    "Relu6": _clip(0.0, 6.0),
    "Rsqrt": _one(p.Rsqrt),
    "Selu": _selu,
    "Sigmoid": _one(p.Sigmoid),
    "Silu": _silu,
    "Softplus": _softplus,
    "Softsign": _softsign,
    "Sqrt": square_root,
    "Square": square,
    "Tanh": _one(p.Tanh),
    "TanhShrink": _tanh_shrink,
}


@lowers(keras.layers.Activation)
def lower_activation_layer(build, layer, x, rewrites) -> Lowered:
    """The activation that the layer names."""
    if isinstance(layer.activation, keras.layers.Layer):
        return lower_activation(build, layer.activation, x, layer.name)
    return apply(build, _name(layer.activation), x, layer.name)


@lowers(*_OPERATIONS)
def lower_function(build, operation, x, rewrites) -> Lowered:
    """A function of one number."""
    return _OPERATIONS[type(operation).__name__](build, x, operation.name)


@lowers("Gelu")
def lower_gelu(build, operation, x, rewrites) -> Lowered:
    """GELU."""
    return build.add(p.Gelu, x, operation.name, operation.approximate)


@lowers("Elu")
def lower_elu_operation(build, operation, x, rewrites) -> Lowered:
    """ELU."""
    return elu(build, x, operation.name, operation.alpha)


@lowers(keras.layers.ELU)
def lower_elu(build, layer, x, rewrites) -> Lowered:
    """ELU."""
    return elu(build, x, layer.name, layer.alpha)


@lowers(keras.layers.LeakyReLU, "LeakyRelu")
def lower_leaky_relu(build, layer, x, rewrites) -> Lowered:
    """LEAKY_RELU."""
    return build.add(p.LeakyRelu, x, layer.name, float(layer.negative_slope))


@lowers(keras.layers.ReLU)
def lower_relu(build, layer, x, rewrites) -> Lowered:
    """RELU with an end, or a slope."""
    if layer.threshold:
        raise NoPrimitiveError(f"threshold={layer.threshold}")
    if not layer.negative_slope:
        return build.add(p.Clip, x, layer.name, 0.0, layer.max_value)
    slope = float(layer.negative_slope)
    if layer.max_value is None:
        return build.add(p.LeakyRelu, x, layer.name, slope)
    x = build.add(p.LeakyRelu, x, f"{layer.name}_leaky", slope)
    return build.add(p.Clip, x, layer.name, None, layer.max_value)


@lowers(keras.layers.PReLU)
def lower_prelu(build, layer, x, rewrites) -> Lowered:
    """`relu(x) + alpha * min(x, 0)`."""
    alpha = array(layer.alpha)
    above = build.add(p.Clip, x, f"{layer.name}_positive", 0.0)
    below = build.add(p.Clip, x, f"{layer.name}_negative", None, 0.0)
    if alpha.size == x.shape[-1] == alpha.shape[-1] and len(x.shape) == 4:
        zeros = np.zeros(x.shape[-1])
        below = build.channel_affine(below, alpha.reshape(-1), zeros, f"{layer.name}_alpha")
    else:
        below = build.constant(p.MultiplyConstant, below, alpha, f"{layer.name}_alpha")
    return build.add(p.Add, [above, below], layer.name)


@lowers(keras.layers.Softmax, "Softmax")
def lower_softmax(build, layer, x, rewrites) -> Lowered:
    """SOFTMAX."""
    if isinstance(x, list):
        raise NoPrimitiveError("it has a mask")
    axis = layer.axis
    if isinstance(axis, (list, tuple)) and len(axis) == 1:
        axis = axis[0]
    if not isinstance(axis, int):
        raise NoPrimitiveError(f"axis={axis}")
    return softmax(build, x, axis, layer.name)


@lowers("Clip")
def lower_clip(build, operation, x, rewrites) -> Lowered:
    """MAXIMUM and MINIMUM, or an activation that is both."""
    limits = _limits(operation)
    if limits is None:
        raise NoPrimitiveError("its ends are no numbers")
    return build.add(p.Clip, x, operation.name, *limits)
