import numpy as np
import pytest

from care_keras.layers import LinearAttention
from tests.care_keras.helpers import infer, numpy_of, randomize_weights
from tests.care_keras.layers.harness import LayerCase, all_checks

CASES = {
    "one_head": LayerCase(
        LinearAttention,
        {"head_dim": 8, "epsilon": 1e-5},
        shapes={(5, 7, 8): (5, 7, 8), (1, 3, 8): (1, 3, 8)},
        trainable_weights=2,
    ),
    "three_heads": LayerCase(
        LinearAttention,
        {"head_dim": 4},
        shapes={(6, 4, 12): (6, 4, 12)},
        trainable_weights=2,
    ),
}


@all_checks(CASES)
def test_layer(case, check):
    check(case)


def quadratic_attention(inputs, kernel, bias, head_dim, epsilon):
    """The row-normalised N x N attention matrix times the values, head by head."""

    def phi(x):
        return np.where(x > 0, x, np.expm1(x)) + 1.0

    batch, height, width, channels = inputs.shape
    tokens = inputs.reshape(batch, height * width, channels).astype(np.float64)
    query, key = np.split(phi(tokens @ kernel[0, 0] + bias), 2, axis=-1)
    outputs = np.empty_like(tokens)
    for head in range(channels // head_dim):
        part = slice(head * head_dim, (head + 1) * head_dim)
        scores = query[..., part] @ key[..., part].swapaxes(1, 2)
        total = scores.sum(axis=-1, keepdims=True) + epsilon * height * width
        outputs[..., part] = scores / total @ tokens[..., part]
    return outputs.reshape(inputs.shape)


@pytest.mark.parametrize("epsilon", [1e-6, 0.3])
def test_equals_the_quadratic_formula(epsilon):
    layer = LinearAttention(head_dim=4, epsilon=epsilon)
    layer.build((None, None, None, 12))
    randomize_weights(layer)
    inputs = np.random.default_rng(0).normal(size=(2, 5, 3, 12)).astype("float32")
    kernel, bias = (np.asarray(w, np.float64) for w in layer.get_weights())
    expected = quadratic_attention(inputs, kernel, bias, 4, epsilon)
    np.testing.assert_allclose(numpy_of(infer(layer, inputs)), expected, rtol=1e-4, atol=1e-5)


def built_attention(dtype=None):
    layer = LinearAttention(head_dim=4, dtype=dtype)
    layer.build((None, None, None, 8))
    randomize_weights(layer)
    return layer


def test_the_order_of_pixels_does_not_matter():
    layer = built_attention()
    inputs = np.random.default_rng(0).normal(size=(1, 4, 6, 8)).astype("float32")
    order = np.random.default_rng(1).permutation(24)
    shuffled = inputs.reshape(1, 24, 8)[:, order].reshape(inputs.shape)
    expected = numpy_of(infer(layer, inputs)).reshape(1, 24, 8)[:, order].reshape(inputs.shape)
    np.testing.assert_allclose(numpy_of(infer(layer, shuffled)), expected, atol=1e-5)


def test_repeated_pixels_change_nothing():
    """A weighted mean over tokens: twice the tokens in the same proportions is the same mean."""
    layer = built_attention()
    inputs = np.random.default_rng(0).normal(size=(1, 4, 3, 8)).astype("float32")
    tiled = np.tile(inputs, (1, 2, 3, 1))
    expected = np.tile(numpy_of(infer(layer, inputs)), (1, 2, 3, 1))
    np.testing.assert_allclose(numpy_of(infer(layer, tiled)), expected, atol=1e-5)


def test_one_pixel_is_diluted_among_many():
    layer = built_attention()

    def influence(size):
        inputs = np.random.default_rng(0).normal(size=(1, size, size, 8)).astype("float32")
        changed = inputs.copy()
        changed[0, 0, 0] += 1.0
        difference = numpy_of(infer(layer, changed)) - numpy_of(layer(inputs))
        return np.abs(difference[0, 1:, 1:]).mean()

    # 16 times the tokens: about a sixteenth of the influence on the others.
    assert 8 < influence(4) / influence(16) < 32


def test_sums_over_many_tokens_do_not_overflow_float16():
    layer = built_attention("mixed_float16")
    inputs = np.full((1, 96, 96, 8), 60.0, "float32")
    np.testing.assert_allclose(numpy_of(infer(layer, inputs)), inputs, rtol=5e-3)


@pytest.mark.parametrize("head_dim", [0, -4])
def test_head_dim_must_be_positive(head_dim):
    with pytest.raises(ValueError, match=rf"Received: head_dim={head_dim}$"):
        LinearAttention(head_dim)


def test_channels_must_be_a_multiple_of_head_dim():
    with pytest.raises(ValueError, match=r"Received: channels=12, head_dim=8$"):
        LinearAttention(8).build((None, 4, 4, 12))
