"""From exact integers to 8-bit codes, as the runtime rounds them."""

import math

import numpy as np

# Integers up to these are exact in the type, whatever the order they are added in.
_EXACT = {np.float32: 2**24, np.float64: 2**53}
_INT32 = 2**31


def exact_type(bound: int) -> type:
    """The float type whose arithmetic is exact for integers of at most `bound`.

    Products of matrices run several times as fast in floats as in integers.
    """
    return np.float32 if bound < _EXACT[np.float32] else np.float64


class Fp32Requantization:
    """XNNPACK's `fp32` rounding of int32 sums: times a float32 scale, to the nearest, ties to even.

    `y = f32(f32(sum) * scale)`, rounded, plus the zero point, clipped
    (src/qs8-qc8w-gemm/gen/qs8-qc8w-gemm-3x8c8-minmax-fp32-avx2.c; the kernels
    of all CPUs that use it agree).

    Args:
        scale: float32, one, or one for each channel of the last axis.
        zero_point: Of the output.
        low: Lowest code.
        high: Highest code.
        bound: What the sums do not exceed.
    """

    def __init__(self, scale, zero_point: int, low: int = -128, high: int = 127, bound: int = 0):
        self._scale = np.asarray(scale, np.float32)
        self._zero_point = np.float32(zero_point)
        self._low, self._high = np.float32(low - zero_point), np.float32(high - zero_point)
        self._wraps = bound >= _INT32

    def __call__(self, sums: np.ndarray) -> np.ndarray:
        """The codes of integers that float32 or float64 holds; float32 ones are overwritten."""
        if self._wraps:
            sums = sums.astype(np.int64).astype(np.int32)
        values = sums.astype(np.float32, copy=False)
        values *= self._scale
        np.rint(values, out=values)
        np.clip(values, self._low, self._high, out=values)
        values += self._zero_point
        return values.astype(np.int8)


def quantize_multiplier(value: float) -> tuple[int, int]:
    """`value` as 31 bits and an exponent (LiteRT's `QuantizeMultiplier`)."""
    if value == 0.0:
        return 0, 0
    fraction, exponent = math.frexp(value)
    multiplier = math.floor(fraction * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, exponent = 2**30, exponent + 1
    return (0, 0) if exponent < -31 else (multiplier, exponent)


def doubling_high_multiply(left: int, right: int) -> int:
    """`left * right / 2**31` of int32, rounded half away from 0, as C++ divides (gemmlowp)."""
    if left == right == -(2**31):
        return 2**31 - 1
    product = left * right
    nudged = product + ((1 << 30) if product >= 0 else 1 - (1 << 30))
    return nudged >> 31 if nudged >= 0 else -(-nudged >> 31)


def rounding_shift(value: int, bits: int) -> int:
    """`value / 2**bits`, rounded half away from 0 (gemmlowp's `RoundingDivideByPOT`)."""
    mask = (1 << bits) - 1
    return (value >> bits) + ((value & mask) > (mask >> 1) + (value < 0))


def fixed_point_multiply(value: int, multiplier: int, exponent: int) -> int:
    """`value * multiplier * 2**(exponent - 31)` (LiteRT's `MultiplyByQuantizedMultiplier`)."""
    product = doubling_high_multiply(to_int32(value << max(exponent, 0)), multiplier)
    return rounding_shift(product, max(-exponent, 0))


def fixed_point_multiply_in_vectors(value: int, multiplier: int, exponent: int) -> int:
    """The same with halves rounded up (LiteRT's `MultiplyByQuantizedMultiplier4Rows`)."""
    product = (to_int32(value << max(exponent, 0)) * multiplier + (1 << 30)) >> 31
    bits = max(-exponent, 0)
    return (product + (1 << bits >> 1)) >> bits


def to_int32(value: int) -> int:
    """What int32 makes of an integer: its lowest 32 bits."""
    return (value + 2**31) % 2**32 - 2**31
