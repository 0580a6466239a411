"""RSQRT in LiteRT's int8 kernel, which does not round as real arithmetic does."""

import numpy as np

from care_keras.primitives.fixed_point import (
    doubling_high_multiply,
    fixed_point_multiply,
    quantize_multiplier,
    rounding_shift,
)


def rsqrt_codes(
    input_scale: np.float32, input_zero_point: int, output_scale: np.float32, output_zero_point: int
) -> np.ndarray:
    """What int8 RSQRT makes of every code (LiteRT's `RsqrtEvalQuantizedInt8`).

    Source: tflite/kernels/elementwise.cc.

    Args:
        input_scale: Step of the input.
        input_zero_point: Its code of 0; on codes below it the kernel fails.
        output_scale: Step of the output.
        output_zero_point: Its code of 0.

    Returns:
        int8 codes of shape `(256,)`, that of the input code -128 first; 127 for
        the code of 0, and for those below it.
    """
    scale = 1.0 / (float(np.sqrt(np.float32(input_scale))) * float(output_scale))
    multiplier, exponent = quantize_multiplier(scale)
    results = np.full(256, 127)
    for steps in range(1, 128 - input_zero_point):
        root, shift = _inverse_square_root(steps)
        value = fixed_point_multiply(1, root, shift + 20)
        value = fixed_point_multiply(value, multiplier, exponent - 20)
        results[input_zero_point + steps + 128] = value + output_zero_point
    return np.clip(results, -128, 127).astype(np.int8)


def _inverse_square_root(value):
    """`1 / sqrt(value)` as `(multiplier, exponent)`, by five steps of Newton's in fixed point.

    LiteRT's `GetInvSqrtQuantizedMultiplierExp` (tflite/kernels/internal/common.h).
    """
    if value <= 1:
        return 2**31 - 1, 0
    pairs = (32 - value.bit_length() - 1) // 2 - 1
    shift = 11 - pairs
    # 28 fraction bits in all that follows; a product has 6 integer bits, of three factors 9.
    x = (value << 2 * pairs) >> 1
    half, three_halves, root = rounding_shift(x, 1), (1 << 28) + (1 << 27), 1 << 28
    for _ in range(5):
        square = doubling_high_multiply(root, root)
        cube = _saturate(doubling_high_multiply(square, root) << 6)
        step = doubling_high_multiply(three_halves, root) - doubling_high_multiply(half, cube)
        root = _saturate(step << 3)
    root = doubling_high_multiply(root, 1518500250)
    if shift < 0:
        root, shift = root << -shift, 0
    return root, -shift


def _saturate(value):
    return max(-(2**31), min(2**31 - 1, value))
