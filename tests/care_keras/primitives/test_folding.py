"""Each rewrite's arithmetic against the operations it replaces, computed directly."""

import keras
import numpy as np
import pytest
from keras import ops

from care_keras.primitives import folding
from tests.care_keras.helpers import randomize_weights

RNG = np.random.default_rng(11)
CHANNELS, FILTERS = 5, 4


def normal(*shape):
    return RNG.normal(size=shape)


def depthwise(x, kernel, bias, dilation_rate=(1, 1)):
    """A depthwise convolution with 'same' padding, tap by tap in float64."""
    height, width = kernel.shape[:2]
    (down, right), total = dilation_rate, np.zeros_like(x)
    reach = (height - 1) * down // 2, (width - 1) * right // 2
    padded = np.pad(x, ((0, 0), (5, 5), (5, 5), (0, 0)))
    for i in range(height):
        for j in range(width):
            top, left = 5 - reach[0] + i * down, 5 - reach[1] + j * right
            window = padded[:, top : top + x.shape[1], left : left + x.shape[2]]
            total += window * kernel[i, j, :, 0]
    return total + bias


def conv(x, kernel, bias):
    """A convolution that pads nothing and does not overlap, in float64."""
    size = kernel.shape[0]
    batch, height, width, channels = x.shape
    patches = x.reshape(batch, height // size, size, width // size, size, channels)
    return np.einsum("bhiwjc,ijco->bhwo", patches, kernel) + bias


@pytest.mark.parametrize("size", [(9, 12), (7, 7), (4, 3), (1, 1)])
def test_pieces_of_a_depthwise_convolution_add_up_to_it(size):
    kernel, bias, pieces = normal(7, 7, CHANNELS, 1), normal(CHANNELS), folding.SEVEN_BY_SEVEN
    x = normal(2, *size, CHANNELS)
    total = sum(depthwise(x, *piece) for piece in folding.split_depthwise(kernel, bias, pieces))
    np.testing.assert_allclose(total, depthwise(x, kernel, bias), atol=1e-12)


def test_pieces_share_out_the_taps():
    kernel = np.arange(1.0, 50.0).reshape(7, 7, 1, 1)
    pieces = folding.split_depthwise(kernel, np.ones(1), folding.SEVEN_BY_SEVEN)
    taps = [piece[0].ravel() for piece in pieces]
    assert max(len(part) for part in taps) <= 25
    np.testing.assert_array_equal(np.sort(np.concatenate(taps)), kernel.ravel())


@pytest.mark.parametrize("size", [(9, 12), (12, 9), (4, 3), (1, 1)])
def test_pieces_of_both_strips_add_up_to_them(size):
    vertical = normal(11, 1, CHANNELS, 1), normal(CHANNELS)
    horizontal = normal(1, 11, CHANNELS, 1), normal(CHANNELS)
    x = normal(2, *size, CHANNELS)
    pieces = folding.split_strips(vertical, horizontal)
    assert max(np.prod(kernel.shape[:2]) for kernel, _, _ in pieces) <= 9
    total = sum(depthwise(x, *piece) for piece in pieces)
    expected = depthwise(x, *vertical) + depthwise(x, *horizontal)
    np.testing.assert_allclose(total, expected, atol=1e-12)


def test_the_direct_depthwise_convolution_is_that_of_keras():
    x, kernel = normal(1, 9, 6, CHANNELS), normal(2, 7, CHANNELS, 1)
    single = (x.astype("float32"), kernel.astype("float32"))
    expected = ops.depthwise_conv(
        *single, padding="same", dilation_rate=(4, 1), data_format="channels_last"
    )
    actual = depthwise(x, kernel, 0.0, (4, 1))
    np.testing.assert_allclose(actual, ops.convert_to_numpy(expected), atol=1e-5)


@pytest.mark.parametrize("center, scale", [(True, True), (False, True), (True, False)])
def test_a_batch_norm_is_a_scale_and_an_offset(center, scale):
    norm = keras.layers.BatchNormalization(epsilon=1e-2, center=center, scale=scale)
    norm.build((None, CHANNELS))
    randomize_weights(norm)
    x = normal(6, CHANNELS)
    factor, offset = folding.batch_norm_affine(norm)
    assert factor.dtype == offset.dtype == np.float64
    expected = ops.convert_to_numpy(norm(x.astype("float32"), training=False))
    np.testing.assert_allclose(x * factor + offset, expected, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2])
def test_an_affine_map_before_a_convolution(size):
    kernel, bias = normal(size, size, CHANNELS, FILTERS), normal(FILTERS)
    scale, offset = normal(CHANNELS), normal(CHANNELS)
    x = normal(2, 4, 6, CHANNELS)
    folded = folding.fold_affine_before_conv(kernel, bias, scale, offset)
    np.testing.assert_allclose(conv(x, *folded), conv(x * scale + offset, kernel, bias), atol=1e-12)


@pytest.mark.parametrize("size", [1, 2])
def test_an_affine_map_after_a_convolution(size):
    kernel, bias = normal(size, size, CHANNELS, FILTERS), normal(FILTERS)
    scale, offset = normal(FILTERS), normal(FILTERS)
    x = normal(2, 4, 6, CHANNELS)
    folded = folding.fold_affine_after_conv(kernel, bias, scale, offset)
    np.testing.assert_allclose(conv(x, *folded), conv(x, kernel, bias) * scale + offset, atol=1e-12)


def layer_norm_dense(x, gamma, beta, kernel, bias):
    centered = x - x.mean(axis=-1, keepdims=True)
    normalized = centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + 1e-6)
    return (normalized * gamma + beta) @ kernel + bias, normalized


def test_one_dense_layer_of_two_behind_layer_norms():
    x = normal(3, CHANNELS)
    heads = [
        (normal(CHANNELS), normal(CHANNELS), normal(CHANNELS, FILTERS), normal(FILTERS))
        for _ in range(2)
    ]
    outputs = [layer_norm_dense(x, *head) for head in heads]
    expected = (outputs[0][0] + outputs[1][0]) / 2.0
    folded = [
        folding.fold_layer_norm_into_dense(kernel, bias, gamma, beta)
        for gamma, beta, kernel, bias in heads
    ]
    for (kernel, bias), (output, normalized) in zip(folded, outputs, strict=True):
        np.testing.assert_allclose(normalized @ kernel + bias, output, atol=1e-12)
    kernel, bias = folding.average_dense(*folded)
    np.testing.assert_allclose(outputs[0][1] @ kernel + bias, expected, atol=1e-12)


def test_a_variable_becomes_float64():
    variable = keras.Variable(np.asarray([0.1, 2.0], np.float32))
    values = folding.array(variable)
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, np.asarray([0.1, 2.0], np.float32))
