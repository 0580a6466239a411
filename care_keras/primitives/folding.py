"""The arithmetic of the exact rewrites, on NumPy arrays.

Every function takes and returns plain arrays, computes in float64 and says
what it replaces and why. Which of them a model gets is decided in `fuse`.
"""

import keras
import numpy as np


def array(weight) -> np.ndarray:
    """A Keras variable as float64."""
    return keras.ops.convert_to_numpy(weight).astype(np.float64)


def batch_norm_affine(norm) -> tuple[np.ndarray, np.ndarray]:
    """`(scale, offset)` per channel of a BatchNormalization layer at inference."""
    scale = 1.0 / np.sqrt(array(norm.moving_variance) + norm.epsilon)
    if norm.scale:
        scale = scale * array(norm.gamma)
    offset = -array(norm.moving_mean) * scale
    if norm.center:
        offset = offset + array(norm.beta)
    return scale, offset


def fold_affine_before_conv(kernel, bias, scale, offset) -> tuple[np.ndarray, np.ndarray]:
    """`conv(scale * x + offset)` as one convolution, in groups or not.

    Exact where the convolution pads nothing: a padded pixel is 0, not
    `offset`. Without it the converter leaves a MUL and an ADD over the whole
    map before each 1x1 and each 2x2 convolution.
    """
    # A group's channels stand for those of the kernel's own place among the groups.
    groups, filters = len(scale) // kernel.shape[2], kernel.shape[3]
    scales, offsets = (
        np.repeat(x.reshape(groups, -1).T, filters // groups, axis=1) for x in (scale, offset)
    )
    return kernel * scales, bias + np.einsum("hwio,io->o", kernel, offsets)


def fold_affine_before_depthwise(kernel, bias, scale, offset) -> tuple[np.ndarray, np.ndarray]:
    """The same for a depthwise convolution, kernel `(height, width, channels, multiplier)`."""
    constant = np.einsum("hwcm,c->cm", kernel, offset).reshape(-1)
    return kernel * scale[:, None], bias + constant


def folds_affine_before(layer, offset) -> bool:
    """Whether a convolution or depthwise convolution folds an affine map before it, exactly."""
    return layer.pads_nothing or not np.any(offset)


def fold_affine_before(layer, kernel, bias, scale, offset) -> tuple[np.ndarray, np.ndarray]:
    """`fold_affine_before_conv` or `fold_affine_before_depthwise`, as the layer has it."""
    depthwise = hasattr(layer, "depth_multiplier")
    fold = fold_affine_before_depthwise if depthwise else fold_affine_before_conv
    return fold(kernel, bias, scale, offset)


def fold_affine_after_conv(kernel, bias, scale, offset) -> tuple[np.ndarray, np.ndarray]:
    """`scale * conv(x) + offset` as one convolution."""
    return kernel * scale, bias * scale + offset


def fold_layer_norm_into_dense(kernel, bias, gamma, beta) -> tuple[np.ndarray, np.ndarray]:
    """`dense(gamma * x + beta)` as one dense layer."""
    return kernel * gamma[:, None], bias + beta @ kernel


def average_dense(first, second) -> tuple[np.ndarray, np.ndarray]:
    """The mean of two dense layers of the same input as one: `(kernel, bias)` pairs."""
    return (first[0] + second[0]) / 2.0, (first[1] + second[1]) / 2.0


# Rows and columns of the pieces that a kernel is cut into: each is centred, so that 'same' padding
# stays what it was, and no tap is computed twice or is 0. XNNPACK's depthwise kernels come for 3,
# 4 (float32), 9 and 25 taps; wider ones run as grouped convolutions at a fraction of the speed.
#
# 7x7, no way of less time in int8: every other column in all rows, the columns between in the inner
# five rows, their ends. 26.0, 26.0 and 10.7 us at 28x28x16 on AVX2, against 78 for three of 25. In
# float32 five pieces, all but one of at most 9 taps, take as long there and more instructions on
# ARM64.
SEVEN_BY_SEVEN = (
    (slice(0, 7), slice(1, 6, 2)),
    (slice(1, 6), slice(0, 7, 2)),
    (slice(0, 7, 6), slice(0, 7, 2)),
)
# Up to as many channels a dense convolution on int8 matrix products takes less time than pieces.
NARROW_CHANNELS = 8


def split_depthwise(kernel, bias, pieces) -> list[tuple]:
    """A depthwise convolution as a sum of some with fewer taps.

    Args:
        kernel: Array of shape `(height, width, channels, 1)`.
        bias: Array of shape `(channels,)`.
        pieces: Rows and columns of each, as above.

    Returns:
        A list of `(kernel, bias, dilation_rate)`; the first carries the bias.
    """
    return [
        (
            kernel[rows, columns],
            np.zeros_like(bias) if i else bias,
            (rows.step or 1, columns.step or 1),
        )
        for i, (rows, columns) in enumerate(pieces)
    ]


def split_strips(vertical, horizontal) -> list[tuple]:
    """The sum of an 11x1 and a 1x11 depthwise convolution as three of at most 9 taps.

    The inner nine taps of each strip, and the four ends of the cross in one
    dilated 3x3. On AVX2 at 56x56x8 the three take 81 us in int8 and 76 in
    float32, the two strips, which run as 25 taps, 135 and 185.

    Args:
        vertical: `(kernel, bias)` of shapes `(11, 1, channels, 1)` and `(channels,)`.
        horizontal: Likewise, `(1, 11, channels, 1)`.

    Returns:
        A list of `(kernel, bias, dilation_rate)`.
    """
    (column, column_bias), (row, row_bias) = vertical, horizontal
    ends = np.zeros((3, 3, *column.shape[2:]))
    ends[::2, 1] = column[::10, 0]
    ends[1, ::2] = row[0, ::10]
    return [
        (column[1:10], column_bias, (1, 1)),
        (row[:, 1:10], row_bias, (1, 1)),
        (ends, np.zeros_like(column_bias), (5, 5)),
    ]
