"""The CARE block: token mixer, dual interaction, residual."""

from collections.abc import Sequence

import keras
from keras import ops

from care_keras.layers.asymmetric_decoupled_mixer import AsymmetricDecoupledMixer
from care_keras.layers.drop_path import DropPath
from care_keras.layers.dual_interaction import DualInteraction
from care_keras.layers.layer_scale import LayerScale


@keras.saving.register_keras_serializable(package="care_keras")
class CAREBlock(keras.layers.Layer):
    """One block of the CARE Transformer on `[memory | features]`.

    The first quarter of the channels is the memory, the rest the features:

        `output = drop_path(gamma * DualInteraction(memory, mixer(features))) + input`

    Source: arXiv 2411.16170, figure 2. For ablations each part can be left
    out; without memory all channels are features.

    Args:
        global_branch: Global branch of the token mixer, `"attention"`,
            `"strip_conv"` or `"none"`.
        head_dim: Channels of one attention head.
        inter1_expansion_ratio: Expansion of the first interaction, `None` for
            none.
        inter2_expansion_ratio: Expansion of the second, `None` for none.
        last: If true, the block is the last of the network: it has no
            projection in Inter2, no residual and no layer scale, and returns
            the expanded features.
        dropout: Dropout rate inside the interactions.
        drop_path_rate: Probability that a sample skips the block.
        layer_scale_init: Initial value of the layer scale.
        decoupling: How the token mixer shares the features out to its
            branches: `"asymmetric"`, `"symmetric"` or `"none"`.
        local_kernels: Sizes of the token mixer's local convs.
        memory: Whether the first quarter of the channels is memory.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape: `(batch, height, width, channels)`, channels a multiple of 4.
    Output shape: the same, or `(batch, height, width, inter2_expansion_ratio *
    channels)` if `last`.

    Raises:
        ValueError: If the channels are no multiple of 4 (one quarter memory,
            three equal parts of features), or the last block has no Inter2.
    """

    def __init__(
        self,
        global_branch: str = "attention",
        head_dim: int = 16,
        inter1_expansion_ratio: int | None = 4,
        inter2_expansion_ratio: int | None = 4,
        last: bool = False,
        dropout: float = 0.0,
        drop_path_rate: float = 0.0,
        layer_scale_init: float = 1e-6,
        decoupling: str = "asymmetric",
        local_kernels: Sequence[int] = (3, 7),
        memory: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if last and inter2_expansion_ratio is None:
            raise ValueError(
                "The last block returns the features that Inter2 expands. "
                f"Received: last={last}, inter2_expansion_ratio={inter2_expansion_ratio}"
            )
        self.global_branch = global_branch
        self.head_dim = head_dim
        self.inter1_expansion_ratio = inter1_expansion_ratio
        self.inter2_expansion_ratio = inter2_expansion_ratio
        self.last = last
        self.dropout = dropout
        self.drop_path_rate = drop_path_rate
        self.layer_scale_init = layer_scale_init
        self.decoupling = decoupling
        self.local_kernels = tuple(local_kernels)
        self.memory = memory
        options = {"dtype": self.dtype_policy}
        self.mixer = AsymmetricDecoupledMixer(
            global_branch, head_dim, decoupling, local_kernels, name="mixer", **options
        )
        self.interaction = DualInteraction(
            inter1_expansion_ratio,
            inter2_expansion_ratio,
            project=not last,
            dropout=dropout,
            name="interaction",
            **options,
        )
        if not last:
            self.layer_scale = LayerScale(layer_scale_init, name="layer_scale", **options)
            self.drop_path = DropPath(drop_path_rate, name="drop_path", **options)

    def build(self, input_shape) -> None:
        channels = input_shape[-1]
        if self.memory and channels % 4:
            raise ValueError(
                f"The input's channels must be a multiple of 4. Received: channels={channels}"
            )
        self.memory_channels = channels // 4 if self.memory else 0
        memory_shape = (*input_shape[:-1], self.memory_channels) if self.memory else None
        features_shape = (*input_shape[:-1], channels - self.memory_channels)
        self.mixer.build(features_shape)
        self.interaction.build((memory_shape, features_shape))
        if not self.last:
            self.layer_scale.build(input_shape)
            self.drop_path.build(input_shape)

    def call(self, inputs, training=None) -> keras.KerasTensor:
        memory, features = None, inputs
        if self.memory:
            memory, features = ops.split(inputs, [self.memory_channels], axis=-1)
        features = self.mixer(features, training=training)
        x = self.interaction((memory, features), training=training)
        if self.last:
            return x
        return self.drop_path(self.layer_scale(x), training=training) + inputs

    def compute_output_shape(self, input_shape) -> tuple:
        if self.last:
            return (*input_shape[:-1], self.inter2_expansion_ratio * input_shape[-1])
        return input_shape

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "global_branch": self.global_branch,
            "head_dim": self.head_dim,
            "inter1_expansion_ratio": self.inter1_expansion_ratio,
            "inter2_expansion_ratio": self.inter2_expansion_ratio,
            "last": self.last,
            "dropout": self.dropout,
            "drop_path_rate": self.drop_path_rate,
            "layer_scale_init": self.layer_scale_init,
            "decoupling": self.decoupling,
            "local_kernels": list(self.local_kernels),
            "memory": self.memory,
        }
