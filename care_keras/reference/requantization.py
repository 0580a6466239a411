"""From exact integers to 8-bit codes, as the runtime rounds them."""

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
