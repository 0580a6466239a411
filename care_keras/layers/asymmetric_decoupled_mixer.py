"""The token mixer: one global part of the channels, two local ones."""

import itertools
from collections.abc import Sequence

import keras
from keras import ops

from care_keras.layers.initializers import kernel_initializer
from care_keras.layers.linear_attention import LinearAttention

GLOBAL_BRANCHES = ("attention", "strip_conv", "none")
DECOUPLINGS = ("asymmetric", "symmetric", "none")


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

    The switches of the paper's ablations leave everything else as it is:

    - `decoupling="symmetric"`: half of the channels to the global branch, half
      to the local one.
    - `decoupling="none"`: the two branches are stacked: all channels through
      the local branch, then all of them through the global one.
    - `global_branch="none"`, `local_kernels=()`: what belongs to that branch
      passes unchanged.

    In each the local convs share the local channels equally.

    Args:
        global_branch: `"attention"`, `"strip_conv"` or `"none"`.
        head_dim: Channels of one attention head; used by `"attention"` alone.
        decoupling: `"asymmetric"`, `"symmetric"` or `"none"`.
        local_kernels: Sizes of the local branch's depthwise convs, in the
            order of their channels.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input and output shape: `(batch, height, width, channels)`, channels a
    multiple of 3 (`"asymmetric"`) or 2 (`"symmetric"`), and the local ones a
    multiple of the number of kernels.

    Raises:
        ValueError: If an argument is none of these, or the channels cannot be
            split like that.
    """

    def __init__(
        self,
        global_branch: str = "attention",
        head_dim: int = 16,
        decoupling: str = "asymmetric",
        local_kernels: Sequence[int] = (3, 7),
        **kwargs,
    ):
        super().__init__(**kwargs)
        if global_branch not in GLOBAL_BRANCHES:
            raise ValueError(
                f"`global_branch` must be one of {GLOBAL_BRANCHES}. "
                f"Received: global_branch={global_branch!r}"
            )
        if decoupling not in DECOUPLINGS:
            raise ValueError(
                f"`decoupling` must be one of {DECOUPLINGS}. Received: decoupling={decoupling!r}"
            )
        if any(size < 1 or size % 2 == 0 for size in local_kernels):
            raise ValueError(
                f"`local_kernels` must be odd sizes. Received: local_kernels={local_kernels}"
            )
        self.global_branch = global_branch
        self.head_dim = head_dim
        self.decoupling = decoupling
        self.local_kernels = tuple(local_kernels)

    def build(self, input_shape) -> None:
        global_channels, local_parts = self._decouple(input_shape[-1])
        global_shape = (*input_shape[:-1], global_channels)
        for layer in self._make_global_layers():
            layer.build(global_shape)
        for size, name in zip(self.local_kernels, self.local_names, strict=True):
            conv = self._depthwise(size, name)
            # An attribute each: that is what files know their weights by.
            setattr(self, name, conv)
            conv.build((*input_shape[:-1], local_parts[0]))
        # Channels of what the branches get, side by side in the input.
        stacked = self.decoupling == "none"
        self.parts = local_parts if stacked else (global_channels, *local_parts)

    def _decouple(self, channels):
        """Channels of the global branch, and those of each part of the local one."""
        share = {"asymmetric": 3, "symmetric": 2, "none": 1}[self.decoupling]
        if channels % share:
            raise ValueError(
                f"The input's channels must be a multiple of {share}. Received: channels={channels}"
            )
        local = channels if share == 1 else channels - channels // share
        parts = len(self.local_kernels) or 1
        if local % parts:
            raise ValueError(
                "The local channels must be a multiple of the number of local kernels. "
                f"Received: {local} of channels={channels}, local_kernels={self.local_kernels}"
            )
        return channels // share, (local // parts,) * parts

    def _make_global_layers(self):
        if self.global_branch == "attention":
            self.attention = LinearAttention(
                self.head_dim, dtype=self.dtype_policy, name="attention"
            )
            return [self.attention]
        if self.global_branch == "strip_conv":
            self.strip_conv_vertical = self._depthwise((11, 1), "strip_conv_vertical")
            self.strip_conv_horizontal = self._depthwise((1, 11), "strip_conv_horizontal")
            return [self.strip_conv_vertical, self.strip_conv_horizontal]
        return []

    @property
    def local_names(self) -> list[str]:
        """Names of the local convs; of two of one size the second ends in `_2`."""
        names = []
        for i, size in enumerate(self.local_kernels):
            nth = self.local_kernels[:i].count(size) + 1
            names.append(f"local_conv_{size}x{size}" + (f"_{nth}" if nth > 1 else ""))
        return names

    def _depthwise(self, kernel_size, name):
        return keras.layers.DepthwiseConv2D(
            kernel_size,
            padding="same",
            depthwise_initializer=kernel_initializer(),
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, inputs, training=None) -> keras.KerasTensor:
        parts = self._split(inputs)
        if self.decoupling == "none":
            return self._mix_globally(_concatenate(self._mix_locally(parts)), training)
        x_global = self._mix_globally(parts[0], training)
        return _concatenate([x_global, *self._mix_locally(parts[1:])])

    def _split(self, inputs):
        boundaries = list(itertools.accumulate(self.parts[:-1]))
        return ops.split(inputs, boundaries, axis=-1) if boundaries else [inputs]

    def _mix_globally(self, x, training):
        if self.global_branch == "attention":
            return self.attention(x, training=training)
        if self.global_branch == "strip_conv":
            return self.strip_conv_vertical(x) + self.strip_conv_horizontal(x)
        return x

    def _mix_locally(self, parts):
        if not self.local_kernels:
            return parts
        return [getattr(self, name)(x) for name, x in zip(self.local_names, parts, strict=True)]

    def compute_output_shape(self, input_shape) -> tuple:
        return input_shape

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "global_branch": self.global_branch,
            "head_dim": self.head_dim,
            "decoupling": self.decoupling,
            "local_kernels": list(self.local_kernels),
        }


def _concatenate(parts):
    return ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]
