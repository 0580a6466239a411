"""Linear attention over the pixels of a feature map."""

import keras
from keras import ops

from care_keras.layers.pointwise_conv2d import PointwiseConv2D


@keras.saving.register_keras_serializable(package="care_keras")
class LinearAttention(keras.layers.Layer):
    """Multi-head linear attention whose values are its inputs.

    With `phi(x) = elu(x) + 1`, `q, k = phi(split(conv1x1(x)))`, `v = x` and
    `N = height * width` tokens, each head computes

        `out = (q @ (k^T v / N)) / (q . mean_N(k) + epsilon)`

    in time and memory linear in `N`: `k^T v` is `head_dim x head_dim`. Source:
    CARE Transformer (arXiv 2411.16170), the global branch of the token mixer;
    the feature map is that of arXiv 2006.16236.

    The products are accumulated in float32 under the 16-bit dtype policies, as
    sums over many tokens overflow float16.

    Args:
        head_dim: Channels of one head; the input's channels are a multiple.
        epsilon: Added to the denominator.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input and output shape: `(batch, height, width, channels)`; height and
    width may be unknown.

    Raises:
        ValueError: If the channels are no multiple of `head_dim`.
    """

    def __init__(self, head_dim: int = 16, epsilon: float = 1e-6, **kwargs):
        super().__init__(**kwargs)
        if head_dim < 1:
            raise ValueError(f"`head_dim` must be positive. Received: head_dim={head_dim}")
        self.head_dim = head_dim
        self.epsilon = epsilon

    def build(self, input_shape) -> None:
        channels = input_shape[-1]
        if channels % self.head_dim:
            raise ValueError(
                "The input's channels must be a multiple of `head_dim`. "
                f"Received: channels={channels}, head_dim={self.head_dim}"
            )
        self.query_key = PointwiseConv2D(2 * channels, dtype=self.dtype_policy, name="query_key")
        self.query_key.build(input_shape)

    def call(self, inputs, training=None) -> keras.KerasTensor:
        query, key = ops.split(self.query_key(inputs, training=training), 2, axis=-1)
        query = self._split_heads(ops.elu(query) + 1.0)
        key = self._split_heads(ops.elu(key) + 1.0)
        value = self._split_heads(inputs)
        return self._merge_heads(self._attend(query, key, value), inputs)

    def _attend(self, query, key, value):
        tokens = ops.cast(ops.shape(key)[2], "float32")
        # (batch, heads, head_dim, head_dim): its size does not depend on N.
        key_value = ops.matmul(ops.swapaxes(key, -1, -2), value / tokens)
        key_mean = ops.mean(key, axis=2, keepdims=True)
        denominator = ops.sum(query * key_mean, axis=-1, keepdims=True) + self.epsilon
        return ops.matmul(query, key_value) / denominator

    def _split_heads(self, x):
        """(batch, height, width, channels) -> (batch, heads, tokens, head_dim)."""
        batch, height, width, channels = ops.shape(x)
        x = ops.reshape(
            ops.cast(x, "float32"),
            (batch, height * width, channels // self.head_dim, self.head_dim),
        )
        return ops.transpose(x, (0, 2, 1, 3))

    def _merge_heads(self, x, like):
        """(batch, heads, tokens, head_dim) -> the shape and dtype of `like`."""
        x = ops.transpose(x, (0, 2, 1, 3))
        return ops.cast(ops.reshape(x, ops.shape(like)), like.dtype)

    def compute_output_shape(self, input_shape) -> tuple:
        return input_shape

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "head_dim": self.head_dim,
            "epsilon": self.epsilon,
        }
