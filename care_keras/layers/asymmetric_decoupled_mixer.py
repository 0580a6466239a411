"""The token mixer: one global part of the channels, two local ones."""

import keras
from keras import ops

from care_keras.layers.initializers import kernel_initializer
from care_keras.layers.linear_attention import LinearAttention

GLOBAL_BRANCHES = ("attention", "strip_conv")


@keras.saving.register_keras_serializable(package="care_keras")
class AsymmetricDecoupledMixer(keras.layers.Layer):
    """Mixes a third of the channels globally and two thirds locally.

    The features are decoupled along the channels into three equal parts that
    are mixed side by side and concatenated again:

    - the first goes to the global branch, linear attention or, where the map
      is large (stages 1 and 2), the sum of an 11x1 and a 1x11 depthwise conv;
    - the second through a 3x3 depthwise conv;
    - the third through a 7x7 depthwise conv.

    Attention gets fewer channels (d1) than the local bias (d2 = 2 d1): the
    asymmetry that the paper's section 3.2 (asymmetrical feature decoupling)
    is about. Source: arXiv 2411.16170.

    Args:
        global_branch: `"attention"` or `"strip_conv"`.
        head_dim: Channels of one attention head; unused by `"strip_conv"`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input and output shape: `(batch, height, width, channels)`, channels a
    multiple of 3.

    Raises:
        ValueError: If `global_branch` is unknown, or the channels cannot be
            split into three.
    """

    def __init__(self, global_branch: str = "attention", head_dim: int = 16, **kwargs):
        super().__init__(**kwargs)
        if global_branch not in GLOBAL_BRANCHES:
            raise ValueError(
                f"`global_branch` must be one of {GLOBAL_BRANCHES}. "
                f"Received: global_branch={global_branch!r}"
            )
        self.global_branch = global_branch
        self.head_dim = head_dim

    def build(self, input_shape):
        channels = input_shape[-1]
        if channels % 3:
            raise ValueError(
                f"The input's channels must be a multiple of 3. Received: channels={channels}"
            )
        if self.global_branch == "attention":
            self.attention = LinearAttention(
                self.head_dim, dtype=self.dtype_policy, name="attention"
            )
            global_layers = [self.attention]
        else:
            self.strip_conv_vertical = self._depthwise((11, 1), "strip_conv_vertical")
            self.strip_conv_horizontal = self._depthwise((1, 11), "strip_conv_horizontal")
            global_layers = [self.strip_conv_vertical, self.strip_conv_horizontal]
        self.local_conv_3x3 = self._depthwise(3, "local_conv_3x3")
        self.local_conv_7x7 = self._depthwise(7, "local_conv_7x7")
        part_shape = (*input_shape[:-1], channels // 3)
        for layer in (*global_layers, self.local_conv_3x3, self.local_conv_7x7):
            layer.build(part_shape)

    def _depthwise(self, kernel_size, name):
        return keras.layers.DepthwiseConv2D(
            kernel_size,
            padding="same",
            depthwise_initializer=kernel_initializer(),
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, inputs, training=None):
        x_global, x_3x3, x_7x7 = ops.split(inputs, 3, axis=-1)
        if self.global_branch == "attention":
            x_global = self.attention(x_global, training=training)
        else:
            x_global = self.strip_conv_vertical(x_global) + self.strip_conv_horizontal(x_global)
        return ops.concatenate(
            [x_global, self.local_conv_3x3(x_3x3), self.local_conv_7x7(x_7x7)], axis=-1
        )

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "global_branch": self.global_branch,
            "head_dim": self.head_dim,
        }
