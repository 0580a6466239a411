"""The interaction of the decoupled features, with each other and with the memory."""

import keras
from keras import ops

from care_keras.layers.foldable_batch_normalization import FoldableBatchNormalization
from care_keras.layers.initializers import kernel_initializer
from care_keras.layers.pointwise_conv2d import PointwiseConv2D


@keras.saving.register_keras_serializable(package="care_keras")
class Interaction(keras.layers.Layer):
    """An inverted bottleneck that lets all channels and neighbours interact.

    BatchNorm, 1x1 conv (expand), GELU, 3x3 depthwise conv, dropout, 1x1 conv
    (project), plus the input. Source: arXiv 2411.16170, the shape that both
    interactions of the dual interaction module share.

    Args:
        expansion_ratio: Hidden channels over input channels.
        project: If false the projection and the residual are left out and the
            expanded features returned, as the last block of the network does.
        dropout: Dropout rate before the projection.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape: `(batch, height, width, channels)`. Output shape: the same, or
    `(batch, height, width, expansion_ratio * channels)` if not `project`.
    """

    def __init__(
        self,
        expansion_ratio: int = 4,
        project: bool = True,
        dropout: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if expansion_ratio < 1:
            raise ValueError(
                f"`expansion_ratio` must be at least 1. Received: expansion_ratio={expansion_ratio}"
            )
        self.expansion_ratio = expansion_ratio
        self.project = project
        self.dropout = dropout

    def build(self, input_shape) -> None:
        channels = input_shape[-1]
        hidden = self.expansion_ratio * channels
        hidden_shape = (*input_shape[:-1], hidden)
        options = {"dtype": self.dtype_policy}
        self.norm = FoldableBatchNormalization(name="norm", **options)
        self.expand = PointwiseConv2D(hidden, name="expand", **options)
        self.depthwise = keras.layers.DepthwiseConv2D(
            3,
            padding="same",
            depthwise_initializer=kernel_initializer(),
            name="depthwise",
            **options,
        )
        self.dropout_layer = keras.layers.Dropout(self.dropout, name="dropout", **options)
        self.norm.build(input_shape)
        self.expand.build(input_shape)
        self.depthwise.build(hidden_shape)
        if self.project:
            self.projection = PointwiseConv2D(channels, name="projection", **options)
            self.projection.build(hidden_shape)

    def call(self, inputs, training=None) -> keras.KerasTensor:
        x = self.norm(inputs, training=training)
        x = ops.gelu(self.expand(x, training=training), approximate=False)
        x = self.dropout_layer(self.depthwise(x), training=training)
        if not self.project:
            return x
        return self.projection(x, training=training) + inputs

    def compute_output_shape(self, input_shape) -> tuple:
        if self.project:
            return input_shape
        return (*input_shape[:-1], self.expansion_ratio * input_shape[-1])

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "expansion_ratio": self.expansion_ratio,
            "project": self.project,
            "dropout": self.dropout,
        }


@keras.saving.register_keras_serializable(package="care_keras")
class DualInteraction(keras.layers.Layer):
    """Inter1 among the mixed features, Inter2 between them and the memory.

    `features' = Inter1(features)`, `output = Inter2([memory | features'])`. It
    is Inter2 that writes the memory carried to the next block. Source: arXiv
    2411.16170, dual interaction module.

    For ablations either can be left out: without Inter1 `features' =
    features`, without Inter2 `output = [memory | features']`. The memory can
    be `None`; then `output = Inter2(features')`.

    Args:
        inter1_expansion_ratio: Expansion of the first interaction, `None` for
            none.
        inter2_expansion_ratio: Likewise, of the second.
        project: If false, Inter2 has no projection and no residual.
        dropout: Dropout rate inside both.
        **kwargs: Arguments of `keras.layers.Layer`.

    Inputs: a pair `(memory, features)` of shapes
    `(batch, height, width, memory_channels)` and
    `(batch, height, width, feature_channels)`. Output shape:
    `(batch, height, width, memory_channels + feature_channels)`, times
    `inter2_expansion_ratio` in the channels if not `project`.
    """

    def __init__(
        self,
        inter1_expansion_ratio: int | None = 4,
        inter2_expansion_ratio: int | None = 4,
        project: bool = True,
        dropout: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.inter1_expansion_ratio = inter1_expansion_ratio
        self.inter2_expansion_ratio = inter2_expansion_ratio
        self.project = project
        self.dropout = dropout
        self.inter1 = self._interaction(inter1_expansion_ratio, True, "inter1")
        self.inter2 = self._interaction(inter2_expansion_ratio, project, "inter2")

    def _interaction(self, expansion_ratio, project, name):
        if expansion_ratio is None:
            return None
        return Interaction(
            expansion_ratio, project, self.dropout, dtype=self.dtype_policy, name=name
        )

    def build(self, input_shape) -> None:
        _, features_shape = input_shape
        if self.inter1 is not None:
            self.inter1.build(features_shape)
        if self.inter2 is not None:
            self.inter2.build(_joined_shape(input_shape))

    def call(self, inputs, training=None) -> keras.KerasTensor:
        memory, features = inputs
        if self.inter1 is not None:
            features = self.inter1(features, training=training)
        joined = features if memory is None else ops.concatenate([memory, features], axis=-1)
        return joined if self.inter2 is None else self.inter2(joined, training=training)

    def compute_output_shape(self, input_shape) -> tuple:
        joined = _joined_shape(input_shape)
        return joined if self.inter2 is None else self.inter2.compute_output_shape(joined)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "inter1_expansion_ratio": self.inter1_expansion_ratio,
            "inter2_expansion_ratio": self.inter2_expansion_ratio,
            "project": self.project,
            "dropout": self.dropout,
        }


def _joined_shape(input_shape):
    memory_shape, features_shape = input_shape
    if memory_shape is None:
        return features_shape
    return (*features_shape[:-1], memory_shape[-1] + features_shape[-1])
