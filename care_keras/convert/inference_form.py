"""A copy of a CARE model with everything folded that is exact to fold."""

import keras
import numpy as np

from care_keras.data.preprocessing import normalization
from care_keras.layers import CAREBlock, LinearAttention
from care_keras.models import CAREBackbone, CAREClassifier, Preprocessing


def inference_form(
    model: keras.Model, preprocessing: Preprocessing | None = None, division_free: bool = False
) -> keras.Model | None:
    """A copy of a CARE model that computes the same with fewer operations.

    Args:
        model: A `CAREBackbone` or a `CAREClassifier`; it is left as it is.
        preprocessing: If given, it is folded in: the copy takes pixels, 0 to
            255, in place of normalized images.
        division_free: Whether attention is written without the operations
            that have no safe int8 kernel.

    Returns:
        The copy, or `None` if the model is none of ours.
    """
    if not isinstance(model, (CAREBackbone, CAREClassifier)):
        return None
    copied = model.__class__.from_config(model.get_config())
    copied.set_weights(model.get_weights())
    backbone = copied.backbone if isinstance(copied, CAREClassifier) else copied
    fold_batch_norm(backbone)
    if preprocessing is not None:
        fold_preprocessing(backbone, preprocessing)
    for layer in copied._flatten_layers():
        if isinstance(layer, LinearAttention):
            layer.division_free = division_free
    return copied


def fold_batch_norm(backbone: CAREBackbone) -> None:
    """Moves every BatchNorm of a backbone into a convolution beside it.

    The stem's goes into the convolution before it, all others into the one
    behind them, which is exact as none of those pads its input. In int8 it is
    more than speed: as a product of a feature map and a vector, each with one
    range for all channels, BatchNorm loses most of what it is for.
    """
    _fold_into_conv_before(backbone.get_layer("stem_conv"), backbone.get_layer("stem_norm"))
    for stage in range(2, len(backbone.depths) + 1):
        norm = backbone.get_layer(f"stage{stage}_downsample_norm")
        _fold_into_conv_behind(norm, backbone.get_layer(f"stage{stage}_downsample_conv"))
    for block in backbone.layers:
        if isinstance(block, CAREBlock):
            for interaction in (block.interaction.inter1, block.interaction.inter2):
                _fold_into_conv_behind(interaction.norm, interaction.expand)


def fold_preprocessing(backbone: CAREBackbone, preprocessing: Preprocessing) -> None:
    """Lets the stem take pixels: its convolution has no padding, so this is exact."""
    scale, offset = normalization(preprocessing)
    _scale_and_shift_input(backbone.get_layer("stem_conv"), scale, offset)


def _scale_and_shift(norm):
    """BatchNorm at inference as `x * scale + shift` per channel, in float64."""
    gamma, beta, mean, variance = (value.astype(np.float64) for value in norm.get_weights())
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return scale, beta - mean * scale


def _fold_into_conv_before(conv, norm):
    kernel, bias = (value.astype(np.float64) for value in conv.get_weights())
    scale, shift = _scale_and_shift(norm)
    conv.set_weights([kernel * scale, bias * scale + shift])
    norm.folded = True


def _fold_into_conv_behind(norm, conv):
    _scale_and_shift_input(conv, *_scale_and_shift(norm))
    norm.folded = True


def _scale_and_shift_input(conv, scale, shift):
    """`conv(x * scale + shift)` as a convolution of `x`, for one that does not pad."""
    kernel, bias = (value.astype(np.float64) for value in conv.get_weights())
    bias = bias + np.einsum("hwio,i->o", kernel, np.asarray(shift, np.float64))
    conv.set_weights([kernel * np.asarray(scale, np.float64)[:, None], bias])
