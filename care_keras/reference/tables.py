"""Functions of one 8-bit code, each as a table of 256 codes.

Two runtimes fill them differently. XNNPACK, which takes ELU, LOGISTIC, TANH,
LEAKY_RELU and QUANTIZE between int8 tensors, adds the zero point and rounds
ties to even, or halves up; LiteRT's own kernels round halves away from 0 and
then add it.

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
from care_keras.reference.fixed_point import (
    Multiplier,
    high_product_16,
    round_half_away,
    rounding_shift,
)
from care_keras.reference.operation import ACTIVATIONS, CODE_LIMITS, Operation, kernel

# Ratios of steps that XNNPACK's QUANTIZE and LEAKY_RELU of codes take.
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
    return lookup(to_codes(round_half_away(results) + zero_point, operation))


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
    return _of_codes_from(first, lookup(results), operation)


def _of_codes_from(first, run, operation):
    """A function of roots, which fails on negative numbers."""

    def check_and_run(codes):
        if codes.min() < first:
            raise ValueError(
                f"LiteRT's {operation.name} fails on codes below the zero point. Received: "
                f"{codes.min()} in {operation.inputs[0].name!r}, whose zero point is {first}"
            )
        return run(codes)

    return check_and_run


@kernel("SQRT")
def _sqrt(operation):
    """LiteRT's `SqrtEvalQuantized` (tflite/kernels/elementwise.cc), which rounds towards 0."""
    x, output = operation.inputs[0], operation.output
    operation.check_int8(x, output)
    first = operation.zero_point(x)
    steps = np.maximum(input_codes(operation) - first, 0).astype(np.float32)
    roots = np.sqrt(operation.scale(x) * steps) / operation.scale(output)
    codes = roots.astype(np.int64) + operation.zero_point(output)
    return _of_codes_from(first, lookup(to_codes(codes, operation)), operation)


@kernel("ABS")
def _absolute(operation):
    """LiteRT's `AbsEvalQuantized` (tflite/kernels/elementwise.cc)."""
    x, output = operation.inputs[0], operation.output
    operation.check_int8(x, output)
    steps = np.abs(input_codes(operation) - operation.zero_point(x))
    if operation.scale(x) != operation.scale(output):
        steps = Multiplier(operation.scale(x) / operation.scale(output))(steps)
    return lookup(to_codes(steps + operation.zero_point(output), operation))


@kernel("NEG")
def _negative(operation):
    """LiteRT's tflite/kernels/internal/reference/neg.h, which looks at codes alone."""
    operation.check_int8(operation.inputs[0])
    operation.check_same_codes()
    if operation.zero_point(operation.output):
        operation.refuse("LiteRT takes its zero point for 0")
    # -128 stays as it is.
    return lookup((-input_codes(operation)).astype(np.int8))


@kernel("RELU", "RELU6", "RELU_N1_TO_1")
def _relu(operation):
    """LiteRT's `QuantizedReluX` (tflite/kernels/activations.cc): XNNPACK takes no int8 one."""
    x, output = operation.inputs[0], operation.output
    operation.check_int8(x, output)
    multiply = Multiplier(operation.scale(x) / operation.scale(output))
    zero_point = operation.zero_point(output)
    codes = multiply(input_codes(operation) - operation.zero_point(x)) + zero_point
    scale = operation.scale(output)
    low, high = (
        end if value is None else zero_point + int(round_half_away(value / scale))
        for end, value in zip((-128, 127), ACTIVATIONS[operation.name], strict=True)
    )
    low, high = max(low, -128), min(high, 127)
    return lookup(np.minimum(np.maximum(codes, low), high).astype(np.int8))


@kernel("LEAKY_RELU")
def _leaky_relu(operation):
    """Multipliers of 8 fraction bits, halves up (XNNPACK's src/qs8-vlrelu).

    `xnn_init_qs8_lrelu_scalar_params` in src/microparams-init.c; LiteRT's own
    kernel has what XNNPACK does not take.
    """
    x, output = operation.inputs[0], operation.output
    operation.check_int8(x, output)
    slope = np.float32(operation.options["alpha"])
    above = operation.scale(x) / operation.scale(output)
    below = above * slope
    steps = input_codes(operation) - operation.zero_point(x)
    # The delegate's limits (tflite/delegates/xnnpack/xnnpack_delegate.cc).
    normal = np.isfinite(slope) and abs(slope) >= np.finfo(np.float32).tiny
    low, high = _STEP_RATIOS
    if normal and low <= above <= high and -(high - low) <= below <= high and abs(below) >= low:
        positive, negative = (int(np.rint(np.float32(256.0) * ratio)) for ratio in (above, below))
        results = (steps * np.where(steps > 0, positive, negative) + 128) >> 8
    elif slope < 0.0 or not np.isfinite(slope):
        operation.refuse(f"its slope {slope} times its ratio of steps {above:.3g} is out of range")
    else:
        # tflite/kernels/internal/reference/leaky_relu.h
        negative = Multiplier(operation.scale(x) * slope / operation.scale(output))
        results = np.where(steps >= 0, Multiplier(above)(steps), negative(steps))
    return lookup(to_codes(results + operation.zero_point(output), operation))


@kernel("HARD_SWISH")
def _hard_swish(operation):
    """16-bit fixed point (LiteRT's tflite/kernels/internal/reference/hard_swish.h).

    The input's steps are counted in 2^-7; what they are multiplied by has 15
    bits.
    """
    x, output = operation.inputs[0], operation.output
    operation.check_int8(x, output)
    fine = np.float32(1.0 / 128.0) * operation.scale(x)
    multiplier, exponent = _of_16_bits(fine / operation.scale(output))
    if exponent > 0:
        operation.refuse("LiteRT refuses an output of finer steps than 2^-7 of its input's")
    steps = (input_codes(operation) - operation.zero_point(x)) << 7
    scaled = high_product_16(steps, multiplier)
    # The gate: -3 to 3 as all that int16 holds, then from 0 to 1.
    multiplier, shift = _of_16_bits(fine / np.float32(3.0 / 32768.0))
    gate = _saturated(steps << max(shift - 1, 0))
    gate = high_product_16(gate, multiplier)
    if shift > 0:
        gate = _saturated(gate << 1)
    gate = rounding_shift(gate, max(-shift, 0))
    gate = (gate + 2**15) >> 1
    # Towards 0, as C++ divides.
    product = np.sign(scaled) * (np.abs(gate * scaled) >> 15)
    results = rounding_shift(product, -exponent) + operation.zero_point(output)
    return lookup(to_codes(results, operation))


def _of_16_bits(value):
    """A multiplier of 15 bits and an exponent (LiteRT's `DownScaleInt32ToInt16Multiplier`)."""
    multiplier, exponent = quantize_multiplier(float(value))
    return min((multiplier + 2**15) >> 16, 2**15 - 1), exponent


def _saturated(values):
    return np.clip(values, -(2**15), 2**15 - 1)


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
