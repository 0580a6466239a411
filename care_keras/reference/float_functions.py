"""Float32 operations between codes and codes: a function of one code, so a table.

`DEQUANTIZE -> functions of one number -> QUANTIZE` is what XNNPACK itself
turns into a table (`xnn_subgraph_fuse_unary_quantized_into_lut` in its
src/subgraph.c). Sums, products, quotients and square roots are exact; of GELU,
EXP, LOG, ELU, LOGISTIC and TANH XNNPACK's float32 kernels are some last bits
off, and its RSQRT follows the CPU's own estimate: where such a bit decides
between two codes, one code of a table differs by one.
"""

import dataclasses
import math

import numpy as np

from care_keras.reference.operation import ACTIVATIONS, Operation
from care_keras.reference.tables import (
    XNNPACK_FUNCTIONS,
    erf,
    float64_function,
)
from care_keras.tflite_file.records import Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class FloatFunction:
    """A float32 tensor that is a function of the codes of another tensor.

    Attributes:
        source: The 8-bit tensor.
        values: float32, for each of its 256 codes, the lowest first.
    """

    source: Tensor
    values: np.ndarray


def _gelu(values):
    return 0.5 * values * (1.0 + erf(values * math.sqrt(0.5)))


def _gelu_tanh(values):
    inner = math.sqrt(2.0 / math.pi) * (values + 0.044715 * values**3)
    return 0.5 * values * (1.0 + np.tanh(inner))


def _hard_swish(values):
    """XNNPACK's src/f32-vhswish, in float32 throughout."""
    gate = values * np.float32(1 / 6) + np.float32(0.5)
    return values * np.clip(gate, np.float32(0.0), np.float32(1.0))


_UNARY = {
    **XNNPACK_FUNCTIONS,
    "ABS": np.abs,
    "EXP": float64_function(np.exp),
    "HARD_SWISH": _hard_swish,
    "LOG": float64_function(np.log),
    "NEG": np.negative,
    "RELU": lambda values: _clip(values, "RELU"),
    "RELU6": lambda values: _clip(values, "RELU6"),
    "RELU_N1_TO_1": lambda values: _clip(values, "RELU_N1_TO_1"),
    "RSQRT": float64_function(lambda values: 1.0 / np.sqrt(values)),
    "SQRT": np.sqrt,
    "SQUARE": np.square,
}
_BINARY = {
    "ADD": np.add,
    "DIV": np.divide,
    "MAXIMUM": np.maximum,
    "MINIMUM": np.minimum,
    "MUL": np.multiply,
    "SQUARED_DIFFERENCE": lambda left, right: np.square(left - right),
    "SUB": np.subtract,
}


def is_float_function(operation: Operation) -> bool:
    """Whether an operation computes a float32 tensor."""
    return operation.output.dtype == "float32"


def follow(operation: Operation, functions: list[FloatFunction | None]) -> FloatFunction:
    """The output of a float32 operation as a function of codes.

    Args:
        operation: The operation.
        functions: What its inputs are; `None` for a constant.

    Raises:
        ValueError: If it is no function of one code.
    """
    name = operation.name
    sources = {function.source.index: function.source for function in functions if function}
    if len(sources) != 1:
        operation.refuse("its float32 output is no function of one 8-bit tensor")
    (source,) = sources.values()
    arguments = [
        _number(operation, tensor) if function is None else function.values
        for tensor, function in zip(operation.inputs, functions, strict=True)
    ]
    with np.errstate(all="ignore"):
        if name == "GELU":
            approximate = operation.options["approximate"]
            values = float64_function(_gelu_tanh if approximate else _gelu)(*arguments)
        elif name == "LEAKY_RELU":
            (x,) = arguments
            values = np.where(x < 0.0, x * np.float32(operation.options["alpha"]), x)
        elif name in _UNARY and len(arguments) == 1:
            values = _UNARY[name](*arguments)
        elif name in _BINARY:
            values = _activate(operation, _BINARY[name](*arguments))
        else:
            operation.refuse("it works on float32 tensors")
    return FloatFunction(source, np.asarray(values, np.float32))


def dequantized(operation: Operation) -> FloatFunction:
    """The output of a DEQUANTIZE."""
    x = operation.inputs[0]
    low = -128 if x.dtype == "int8" else 0
    steps = (np.arange(low, low + 256) - operation.zero_point(x)).astype(np.float32)
    return FloatFunction(x, steps * operation.scale(x))


def _number(operation, tensor):
    value = operation.constant(operation.inputs.index(tensor))
    if value.size != 1 or value.dtype != np.float32:
        operation.refuse(f"its constant {tensor.name!r} is not one float32 number")
    return value.reshape(())


def _activate(operation, values):
    name = operation.options.get("fused_activation_function", "NONE")
    if name not in ACTIVATIONS:
        operation.refuse(f"its activation {name} is not known")
    return _clip(values, name)


def _clip(values, activation):
    low, high = ACTIVATIONS[activation]
    if low is not None:
        values = np.maximum(values, np.float32(low))
    return values if high is None else np.minimum(values, np.float32(high))
