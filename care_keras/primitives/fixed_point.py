"""LiteRT's fixed-point arithmetic (tflite/kernels/internal/common.h), on Python's integers."""

import math


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
