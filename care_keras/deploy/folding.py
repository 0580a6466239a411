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


def split_wide_depthwise(kernel, bias):
    """A 7x7 depthwise convolution as a sum of three of at most 25 taps.

    XNNPACK's depthwise kernels take up to 25 taps; wider ones run as grouped
    convolutions at a fraction of the speed. Rows of the same distance from the
    centre go together: rows -1, 0, 1 as 3x7; rows -2, 2 as 2x7 with a vertical
    dilation of 4; rows -3, 3 with one of 6. Each is centred, so 'same' padding
    stays what it was, and no tap is computed twice or is 0.

    Args:
        kernel: Array of shape `(7, 7, channels, 1)`.
        bias: Array of shape `(channels,)`.

    Returns:
        A list of `(kernel, bias, dilation_rate)`; the first carries the bias.
    """
    zero = np.zeros_like(bias)
    return [
        (kernel[2:5], bias, (1, 1)),
        (kernel[1:6:4], zero, (4, 1)),
        (kernel[0:7:6], zero, (6, 1)),
    ]
