"""LiteRT's rounding of arrays (tflite/kernels/internal/common.h, common.cc, cppmath.h)."""

import numpy as np

from care_keras.primitives.fixed_point import quantize_multiplier


class Multiplier:
    """What LiteRT's own kernels multiply int32 numbers by: 31 bits and an exponent.

    Rounded twice: the product half away from 0 (gemmlowp's
    `SaturatingRoundingDoublingHighMul`), what is shifted out of it likewise
    (`RoundingDivideByPOT`).

    Args:
        value: The real number.
    """

    def __init__(self, value: float):
        self.multiplier, self.exponent = quantize_multiplier(float(value))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Integers of int32's range, times the number: int64."""
        shifted = np.asarray(values, np.int64) << max(self.exponent, 0)
        # What int32 keeps of it.
        shifted = shifted.astype(np.int32).astype(np.int64)
        return rounding_shift(_high_product(shifted, self.multiplier, 31), max(-self.exponent, 0))


def _high_product(left, right, bits):
    product = left * right
    half = 1 << (bits - 1)
    nudged = product + np.where(product >= 0, half, 1 - half)
    # As C++ divides: towards 0.
    return np.where(nudged >= 0, nudged >> bits, -(-nudged >> bits))


def round_half_away(values: np.ndarray) -> np.ndarray:
    """Real numbers to whole ones, float64 (LiteRT's `TfLiteRound`)."""
    values = np.asarray(values, np.float64)
    return np.copysign(np.floor(np.abs(values) + 0.5), values)


def rounding_shift(values: np.ndarray, bits: int) -> np.ndarray:
    """`values / 2**bits`, rounded half away from 0."""
    mask = (1 << bits) - 1
    return (values >> bits) + ((values & mask) > (mask >> 1) + (values < 0))


def high_product_16(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """`left * right / 2**15` of int16, rounded half away from 0."""
    return np.minimum(_high_product(np.asarray(left, np.int64), right, 15), 2**15 - 1)
