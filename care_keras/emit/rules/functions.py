"""Functions of one number, and softmax."""

import numpy as np

from care_keras import primitives as p
from care_keras.emit.rules import operators as o
from care_keras.emit.rules.registry import rule


@rule(p.Gelu)
def _gelu(emit, layer, x):
    return o.operator(
        emit, "GELU", [x], emit.output(layer, x), o.options("Gelu", approximate=False)
    )


@rule(p.Elu)
def _elu(emit, layer, x):
    return o.operator(emit, "ELU", [x], emit.output(layer, x))


@rule(p.Rsqrt)
def _rsqrt(emit, layer, x):
    output = emit.output(layer, x)
    if output.dtype == np.int8 and x.quantization.zero_point != -128:
        # Its int8 kernel gives up on codes below that of 0.
        raise ValueError(
            "The int8 range of what a root is taken of must begin at 0: calibrate again. "
            f"Received: a zero point of {x.quantization.zero_point} at the layer {layer.name!r}"
        )
    return o.operator(emit, "RSQRT", [x], output)


@rule(p.Softmax)
def _softmax(emit, layer, x):
    return o.operator(emit, "SOFTMAX", [x], emit.output(layer, x), o.options("Softmax", beta=1.0))
