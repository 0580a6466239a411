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


def fold_affine_before_conv(kernel, bias, scale, offset):
    """`conv(scale * x + offset)` as one convolution.

    Exact where the convolution pads nothing: a padded pixel is 0, not
    `offset`. Without it the converter leaves a MUL and an ADD over the whole
    map before each 1x1 and each 2x2 convolution.
    """
    return kernel * scale[:, None], bias + np.einsum("hwio,i->o", kernel, offset)


def fold_affine_after_conv(kernel, bias, scale, offset):
    """`scale * conv(x) + offset` as one convolution."""
    return kernel * scale, bias * scale + offset


def fold_layer_norm_into_dense(kernel, bias, gamma, beta):
    """`dense(gamma * x + beta)` as one dense layer."""
    return kernel * gamma[:, None], bias + beta @ kernel


def average_dense(first, second):
    """The mean of two dense layers of the same input as one: `(kernel, bias)` pairs."""
    return (first[0] + second[0]) / 2.0, (first[1] + second[1]) / 2.0


# Rows and columns of the pieces that a kernel is cut into: each is centred, so that 'same' padding
# stays what it was, and no tap is computed twice or is 0. XNNPACK's depthwise kernels come for 3,
# 4, 9 and 25 taps; wider ones run as grouped convolutions at a fraction of the speed.
#
# 7x7: rows -1, 0, 1; rows -2, 2; rows -3, 3.
SEVEN_BY_SEVEN = (
    (slice(2, 5), slice(0, 7)),
    (slice(1, 6, 4), slice(0, 7)),
    (slice(0, 7, 6), slice(0, 7)),
)
# For float32: there, at 28x28x16 on AVX2, up to 9 taps take 8.6 us, up to 25 take 30, and an
# addition 2.6. 7x7: the inner 5x5, and the ring around it in pieces of 6, 8, 6 and 4 taps.
SEVEN_BY_SEVEN_FLOAT = (
    (slice(1, 6), slice(1, 6)),
    (slice(0, 7, 6), slice(1, 6, 2)),
    (slice(0, 7, 6), slice(0, 7, 2)),
    (slice(1, 6, 2), slice(0, 7, 6)),
    (slice(2, 5, 2), slice(0, 7, 6)),
)
# 11x1 for float32: the inner nine taps, and both ends.
ELEVEN_BY_ONE_FLOAT = (
    (slice(1, 10), slice(0, 1)),
    (slice(0, 11, 10), slice(0, 1)),
)


def split_depthwise(kernel, bias, pieces):
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
