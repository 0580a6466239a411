"""Functions of one number, and softmax."""

import numpy as np

from care_keras import primitives as p
from care_keras.emit.rules import operators as o
from care_keras.emit.rules.registry import rule
from care_keras.primitives.fused_activation import name_of
from care_keras.tflite_file.writer import Quantization

# XNNPACK has the first ones of codes as well.
_OF_CODES = {p.Elu: "ELU", p.Sigmoid: "LOGISTIC", p.Tanh: "TANH"}
_OF_FLOATS = {p.Exp: "EXP", p.Log: "LOG"}


@rule(*_OF_CODES)
def _function_of_codes(emit, layer, x):
    return o.operator(emit, _name(_OF_CODES, layer), [x], emit.output(layer, x))


@rule(*_OF_FLOATS)
def _function_of_floats(emit, layer, x):
    return o.function(emit, layer, _name(_OF_FLOATS, layer), x, emit.output(layer, x))


def _name(operators, layer):
    (name,) = {name for kind, name in operators.items() if isinstance(layer, kind)}
    return name


@rule(p.Gelu)
def _gelu(emit, layer, x):
    options = o.options("Gelu", approximate=layer.approximate)
    return o.function(emit, layer, "GELU", x, emit.output(layer, x), options)


@rule(p.LeakyRelu)
def _leaky_relu(emit, layer, x):
    options = o.options("LeakyRelu", alpha=layer.slope)
    return o.operator(emit, "LEAKY_RELU", [x], emit.output(layer, x), options)


@rule(p.Clip)
def _clip(emit, layer, x):
    output = emit.output(layer, x)
    activation = name_of((layer.low, layer.high))
    if activation is not None:
        return o.operator(emit, activation.upper(), [x], output)
    ends = [("MAXIMUM", layer.low), ("MINIMUM", layer.high)]
    for name, end in ends:
        if end is None:
            continue
        last = name == "MINIMUM" or layer.high is None
        target = output if last else emit.like(f"{layer.name}/{name.lower()}", x, x.shape)
        constant = _end(emit, f"{layer.name}/{name.lower()}_of", x, end)
        x = o.operator(emit, name, [x, constant], target, o.options("MaximumMinimum"))
    return x


def _end(emit, name, x, value):
    """An end of `Clip` as codes of its input."""
    if x.dtype == np.float32:
        return emit.weight(name, np.float32(value))
    code = np.rint(value / float(x.quantization.scale)) + x.quantization.zero_point
    return emit.writer.constant(name, np.clip(code, -128, 127).astype(np.int8), x.quantization)


@rule(p.Rsqrt)
def _rsqrt(emit, layer, x):
    output = emit.output(layer, x)
    if output.dtype == np.int8 and x.quantization.zero_point != -128:
        # Its int8 kernel gives up on codes below that of 0.
        raise ValueError(
            "The int8 range of what a root is taken of must begin at 0: calibrate again. "
            f"Received: a zero point of {x.quantization.zero_point} at the layer {layer.name!r}"
        )
    return o.function(emit, layer, "RSQRT", x, output)


@rule(p.Softmax)
def _softmax(emit, layer, x):
    return o.operator(emit, "SOFTMAX", [x], emit.output(layer, x), o.options("Softmax", beta=1.0))


@rule(p.HardSigmoid)
def _hard_sigmoid(emit, layer, x):
    output = emit.output(layer, x)
    if output.dtype != np.float32:
        return o.saturating_sixth(emit, layer.name, x, output)
    three = o.float_constant(emit, layer, [3.0], "three")
    options = o.options("Add", fusedActivationFunction=o.ACTIVATIONS["relu6"])
    inner = emit.float_tensor(f"{layer.name}/relu6", x.shape)
    inner = o.operator(emit, "ADD", [x, three], inner, options)
    sixth = o.float_constant(emit, layer, [1.0 / 6.0], "sixth")
    return o.multiply(emit, [inner, sixth], output)


@rule(p.HardSwish)
def _hard_swish(emit, layer, x):
    output = emit.output(layer, x)
    if output.dtype == np.float32 or emit.target == "xnnpack":
        return o.function(emit, layer, "HARD_SWISH", x, output)
    quantization = Quantization(np.asarray([1 / 255], np.float32), -128)
    gate = emit.writer.tensor(f"{layer.name}/hard_sigmoid", x.shape, np.int8, quantization)
    gate = o.saturating_sixth(emit, f"{layer.name}/hard_sigmoid", x, gate)
    return o.multiply(emit, [x, gate], output)
