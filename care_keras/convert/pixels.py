"""Models that take raw RGB pixels: the preprocessing folded into the network."""

import keras
import numpy as np

from care_keras.data.preprocessing import normalization
from care_keras.models import CAREBackbone, CAREClassifier, Preprocessing


def copy_model(model: keras.Model) -> keras.Model:
    """A model of the same class, configuration and weights."""
    copied = model.__class__.from_config(model.get_config())
    copied.set_weights(model.get_weights())
    return copied


def fold_preprocessing(model: keras.Model, preprocessing: Preprocessing) -> keras.Model | None:
    """A copy of a CARE model that takes pixels, 0 to 255, in place of normalized images.

    The stem's convolution has no padding, so `conv(pixel * scale + offset)` is
    exactly a convolution of the pixels with other weights: `kernel * scale`,
    `bias + sum(kernel * offset)`.

    Returns:
        The copy, or `None` if the model is none of ours: whether its first
        layer pads is not known.
    """
    if not isinstance(model, (CAREBackbone, CAREClassifier)):
        return None
    folded = copy_model(model)
    backbone = folded.backbone if isinstance(folded, CAREClassifier) else folded
    stem = backbone.get_layer("stem_conv")
    kernel, bias = (value.astype(np.float64) for value in stem.get_weights())
    scale, offset = normalization(preprocessing)
    bias = bias + np.einsum("hwio,i->o", kernel, offset.astype(np.float64))
    stem.set_weights([kernel * scale[:, None], bias])
    return folded
