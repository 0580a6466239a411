"""Softmax attention over pixels: what CARE's linear attention is measured against."""

import keras
from keras import ops

from care_keras import primitives as p
from care_keras.deploy.builder import Builder
from care_keras.layers.pointwise_conv2d import PointwiseConv2D
from care_keras.primitives.folding import array


class SoftmaxAttention(keras.layers.Layer):
    """Multi-head softmax attention with the queries, keys and values of `LinearAttention`.

    With `q, k = split(conv1x1(x))`, `v = x` and `N = height * width` tokens,
    each head computes `softmax(q k^T / sqrt(head_dim)) v` (arXiv 1706.03762) in
    time and memory quadratic in `N`. Its weights have the names and shapes of
    `LinearAttention`'s.

    Args:
        head_dim: Channels of one head; the input's channels are a multiple.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input and output shape: `(batch, height, width, channels)`.
    """

    def __init__(self, head_dim: int = 16, **kwargs):
        super().__init__(**kwargs)
        self.head_dim = head_dim

    def build(self, input_shape):
        self.query_key = PointwiseConv2D(2 * input_shape[-1], name="query_key")
        self.query_key.build(input_shape)

    def call(self, inputs, training=None):
        batch, height, width, channels = ops.shape(inputs)
        heads = (batch, height * width, channels // self.head_dim, self.head_dim)
        query, key = ops.split(self.query_key(inputs, training=training), 2, axis=-1)
        query, key, value = (ops.reshape(x, heads) for x in (query, key, inputs))
        return ops.reshape(ops.dot_product_attention(query, key, value), ops.shape(inputs))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "head_dim": self.head_dim}


def lower_softmax_attention(
    build: Builder, attention: SoftmaxAttention, x: keras.KerasTensor, name: str
) -> keras.KerasTensor:
    """The same on primitives, each one operation of TFLite.

    Heads have convolutions of their own, so that none is sliced or transposed,
    and the scale is in the queries' kernel: the form a phone would be given.
    """
    channels, size = x.shape[-1], attention.head_dim
    kernel, bias = array(attention.query_key.kernel), array(attention.query_key.bias)
    heads = []
    for start in range(0, channels, size):
        head = f"{name}_head{start // size + 1}"
        part = slice(start, start + size)
        query = build.conv(
            x, kernel[..., part] / size**0.5, bias[part] / size**0.5, f"{head}_query_conv"
        )
        part = slice(channels + start, channels + start + size)
        key = build.conv(x, kernel[..., part], bias[part], f"{head}_key_conv")
        value = build.add(p.ChannelSlice, x, f"{head}_value_part", start, size)
        query, key, value = (
            build.add(p.FlattenPixels, pixels, f"{head}_{kind}")
            for pixels, kind in ((query, "query"), (key, "key"), (value, "value"))
        )
        scores = build.add(p.MatMul, [query, key], f"{head}_scores", transpose_b=True)
        scores = build.add(p.Softmax, scores, f"{head}_weights")
        heads.append(build.add(p.MatMul, [scores, value], f"{head}_pixels"))
    joined = heads[0] if len(heads) == 1 else build.add(p.Concatenate, heads, f"{name}_pixels")
    return build.add(p.UnflattenPixels, [joined, x], f"{name}_output")
