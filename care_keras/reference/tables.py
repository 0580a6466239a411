"""Functions of one 8-bit code, each as a table of 256 codes.

Two runtimes fill them differently. XNNPACK, which takes ELU, LOGISTIC, TANH
and QUANTIZE between int8 tensors, adds the zero point and rounds ties to even;
LiteRT's own kernels round halves away from 0 and then add it.

A table's numbers come from float64 and are rounded to float32; a runtime's are
those of its C library, which can differ in the last bit. A code differs only
if that bit decides between two codes.
"""

import math
from collections.abc import Callable

import numpy as np

from care_keras.primitives.fixed_point import (
    fixed_point_multiply,
    fixed_point_multiply_in_vectors,
    quantize_multiplier,
)
from care_keras.primitives.rsqrt_kernel import rsqrt_codes
from care_keras.reference.operation import CODE_LIMITS, Operation, kernel

# Ratio of steps that XNNPACK's QUANTIZE of codes takes.
_STEP_RATIOS = 2.0**-8, 2.0**7


def lookup(table: np.ndarray, source: str = "int8") -> Callable[[np.ndarray], np.ndarray]:
    """What applies a table to codes.

    Args:
        table: 256 codes, those of the lowest input code first.
        source: Type of the input codes.
    """
    # By the byte of the input: -128 to -1 follow 127 there.
    ordered = np.roll(table, CODE_LIMITS[source][0])
    if table.itemsize > 1:
        return lambda x: ordered[x.view(np.uint8)]
    translation = ordered.tobytes()

    def run(x):
        # Python's own translation of bytes takes a fraction of what NumPy's indexing does.
        codes = x.tobytes().translate(translation)
        return np.frombuffer(codes, table.dtype).reshape(x.shape)

    return run


def input_codes(operation: Operation) -> np.ndarray:
    """All 256 codes of the input as int64, the lowest first."""
    low, high = CODE_LIMITS[operation.inputs[0].dtype]
    return np.arange(low, high + 1)


def to_codes(values: np.ndarray, operation: Operation) -> np.ndarray:
    """Integers, clipped to the output's type."""
    limits = CODE_LIMITS[operation.output.dtype]
    return np.clip(values, *limits).astype(operation.output.dtype)


def float64_function(function: Callable) -> Callable[[np.ndarray], np.ndarray]:
    """A float32 function by one of Python's `math` or NumPy's in float64."""

    def apply(values):
        with np.errstate(all="ignore"):
            return function(values.astype(np.float64)).astype(np.float32)

    return apply


erf = np.vectorize(math.erf, otypes=[np.float64])
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


@kernel("ELU", "LOGISTIC", "TANH")
def _xnnpack_table(operation):
    """XNNPACK's src/reference/unary-elementwise.cc, by src/operators/unary-elementwise-nc.c."""
    x, output = operation.inputs[0], operation.output
    operation.check_int8(x, output)
    zero_points = [np.float32(operation.zero_point(tensor)) for tensor in (x, output)]
    values = (input_codes(operation).astype(np.float32) - zero_points[0]) * operation.scale(x)
    results = XNNPACK_FUNCTIONS[operation.name](values)
    inverse = np.float32(1.0) / operation.scale(output)
    rounded = np.rint(results * inverse + zero_points[1])
    return lookup(to_codes(np.nan_to_num(rounded), operation))


def _elu(values):
    return np.where(values < 0.0, np.expm1(np.minimum(values, 0.0)), values)


def _logistic(values):
    return 1.0 / (1.0 + np.exp(-values))


XNNPACK_FUNCTIONS = {
    "ELU": float64_function(_elu),
    "LOGISTIC": float64_function(_logistic),
    "TANH": float64_function(np.tanh),
}


@kernel("EXP", "GELU", "LOG")
def _litert_table(operation):
    """LiteRT's `LUTPopulateInt8` (tflite/kernels/internal/common.h)."""
    x, output = operation.inputs[0], operation.output
    operation.check_int8(x, output)
    scale, zero_point = operation.scale(output), operation.zero_point(output)
    codes = input_codes(operation) - operation.zero_point(x)
    values = operation.scale(x) * codes.astype(np.float32)
    if operation.name == "GELU":
        results = _gelu_tanh(values) if operation.options["approximate"] else _gelu(values)
    elif operation.name == "EXP":
        results = float64_function(np.exp)(values)
    else:
        lowest = np.float32(-128 - zero_point) * scale
        results = np.where(values > 0.0, float64_function(np.log)(values), lowest)
    with np.errstate(over="ignore"):
        results = results * (np.float32(1.0) / scale)
    rounded = np.copysign(np.floor(np.abs(results).astype(np.float64) + 0.5), results)
    return lookup(to_codes(rounded + zero_point, operation))


def _gelu(values):
    tails = float64_function(_erfc)(values * np.float32(-math.sqrt(0.5)))
    return np.float32(0.5) * values * tails


def _gelu_tanh(values):
    cubes = np.float32(0.044715) * values * values * values
    tails = float64_function(np.tanh)(np.float32(math.sqrt(2.0 / math.pi)) * (values + cubes))
    return np.float32(0.5) * values * (np.float32(1.0) + tails)


@kernel("RSQRT")
def _rsqrt(operation):
    """LiteRT's `RsqrtEvalQuantizedInt8` (tflite/kernels/elementwise.cc)."""
    x, output = operation.inputs[0], operation.output
    operation.check_int8(x, output)
    first, zero_point = operation.zero_point(x), operation.zero_point(output)
    results = rsqrt_codes(operation.scale(x), first, operation.scale(output), zero_point)
    run = lookup(results)

    def check_and_run(codes):
        if codes.min() < first:
            raise ValueError(
                "LiteRT's RSQRT fails on codes below the zero point. "
                f"Received: {codes.min()} in {x.name!r}, whose zero point is {first}"
            )
        return run(codes)

    return check_and_run


@kernel("QUANTIZE")
def _quantize(operation):
    x, output = operation.inputs[0], operation.output
    if x.dtype == "float32":
        return _from_float(operation)
    ratio = operation.scale(x) / operation.scale(output)
    steps = input_codes(operation) - operation.zero_point(x)
    if x.dtype == output.dtype and _STEP_RATIOS[0] <= ratio <= _STEP_RATIOS[1]:
        # XNNPACK's src/qs8-vcvt/gen/qs8-vcvt-avx2-u32.c.
        multiplier = int(np.rint(np.float32(256.0) * ratio))
        results = (steps * multiplier + 128) >> 8
    else:
        results = _litert_quantize(operation, steps)
    return lookup(to_codes(results + operation.zero_point(output), operation), x.dtype)


def _litert_quantize(operation, steps):
    """LiteRT's `Requantize` (tflite/kernels/internal/optimized/optimized_ops.h).

    It rounds ties otherwise in vectors of 16 codes than in what is left over,
    so that a code's place would decide.
    """
    scale = float(operation.scale(operation.inputs[0])) / float(operation.scale(operation.output))
    multiplier, exponent = quantize_multiplier(scale)
    scalar = [fixed_point_multiply(int(step), multiplier, exponent) for step in steps]
    vector = [fixed_point_multiply_in_vectors(int(step), multiplier, exponent) for step in steps]
    if scalar != vector:
        operation.refuse(f"for the ratio of steps {scale:.6g} a code's place decides how it rounds")
    return np.asarray(scalar)


def _from_float(operation):
    """XNNPACK's src/f32-qs8-vcvt."""
    return lambda x: quantize_floats(x, operation)


def quantize_floats(values: np.ndarray, operation: Operation) -> np.ndarray:
    """float32 to codes of the output, ties to even; NaN becomes the highest code."""
    low, high = CODE_LIMITS[operation.output.dtype]
    zero_point = np.float32(operation.zero_point(operation.output))
    with np.errstate(over="ignore", invalid="ignore"):
        values = values * (np.float32(1.0) / operation.scale(operation.output))
    values = np.where(np.isnan(values), np.float32(np.inf), values)
    codes = np.clip(np.rint(values), low - zero_point, high - zero_point) + zero_point
    return codes.astype(operation.output.dtype)
