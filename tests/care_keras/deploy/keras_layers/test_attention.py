"""Attention of queries, keys and values."""

import keras
from keras import layers, ops

from tests.care_keras.deploy.keras_layers.harness import LayerCase, all_checks

ATTENTION = layers.MultiHeadAttention


def tokens(x, patch=2, width=8):
    return layers.Reshape((-1, width))(layers.Conv2D(width, patch, patch)(x))


def itself(layer, **kwargs):
    def make(x):
        x = tokens(x)
        return layer()(x, x)

    return LayerCase(make, **kwargs)


def cross(x):
    queries, keys = tokens(x), tokens(x, 1)
    return ATTENTION(2, 4)(queries, keys)


def with_keys(x):
    return ATTENTION(2, 4)(tokens(x), tokens(x), key=tokens(x))


def vit(x):
    """Patches with a place each, and two blocks."""
    x = tokens(x)
    x = x + keras.random.normal((1, 12, 8), seed=1)
    for _ in range(2):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, ATTENTION(2, 4, dropout=0.1)(y, y)])
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.Dense(16, activation="gelu")(y)
        x = layers.Add()([x, layers.Dropout(0.1)(layers.Dense(8)(y))])
    x = layers.LayerNormalization(epsilon=1e-6)(x)
    return layers.Dense(5)(layers.GlobalAveragePooling1D()(x))


def by_hand(x):
    """Attention on `keras.ops`, one head."""
    x = tokens(x)
    query, key, value = (layers.Dense(8)(x) for _ in range(3))
    scores = ops.matmul(query, ops.transpose(key, (0, 2, 1))) / 8**0.5
    return ops.matmul(ops.softmax(scores), value)


CASES = {
    "of itself": itself(lambda: ATTENTION(2, 4)),
    "one head": itself(lambda: ATTENTION(1, 8)),
    "without bias": itself(lambda: ATTENTION(2, 4, use_bias=False)),
    "another size of output": itself(lambda: ATTENTION(2, 4, output_shape=6)),
    "two axes of output": itself(lambda: ATTENTION(2, 4, output_shape=(3, 2))),
    "cross": LayerCase(cross),
    "keys by keyword": LayerCase(with_keys),
    # Some twenty tensors one after the other, each with its rounding.
    "vision transformer": LayerCase(vit, any_size=False, snr=18.0),
    "by hand": LayerCase(by_hand),
}


# Keras 3.15 has no such attention under JAX.
if keras.backend.backend() != "jax":
    CASES["values of another size"] = itself(lambda: ATTENTION(2, 4, value_dim=3))


@all_checks(CASES)
def test_attention(case, check):
    check(case)
