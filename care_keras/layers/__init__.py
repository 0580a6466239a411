"""The parts of a CARE block, one idea a file."""

from care_keras.layers.asymmetric_decoupled_mixer import AsymmetricDecoupledMixer
from care_keras.layers.care_block import CAREBlock
from care_keras.layers.drop_path import DropPath
from care_keras.layers.dual_classifier_head import (
    ClassifierHead,
    DualClassifierHead,
    SingleClassifierHead,
)
from care_keras.layers.dual_interaction import DualInteraction, Interaction
from care_keras.layers.foldable_batch_normalization import FoldableBatchNormalization
from care_keras.layers.layer_scale import LayerScale
from care_keras.layers.linear_attention import LinearAttention
from care_keras.layers.pointwise_conv2d import PointwiseConv2D

__all__ = [
    "AsymmetricDecoupledMixer",
    "CAREBlock",
    "ClassifierHead",
    "DropPath",
    "DualClassifierHead",
    "DualInteraction",
    "FoldableBatchNormalization",
    "Interaction",
    "LayerScale",
    "LinearAttention",
    "PointwiseConv2D",
    "SingleClassifierHead",
]
