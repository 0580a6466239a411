"""What a segmenter learns by: the class of each pixel that has one."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from care_keras.data.segmentation import VOID


@keras.saving.register_keras_serializable(package="care_keras")
class SegmentationLoss(keras.losses.Loss):
    """Cross-entropy of the pixels that have a class, at the size of the labels.

    Logits, which are smaller than the image, are enlarged by bilinear
    interpolation first, as apps enlarge them. Each image counts alike, however
    many of its pixels have a class.

    Args:
        class_weights: What a pixel of each class counts for, `None` for all alike;
            see `class_weights`.

    Shapes: `y_true`, `(batch, height, width)`: classes, 255 where there is none.
    `y_pred`, `(batch, height / s, width / s, classes)`: logits.
    """

    def __init__(self, class_weights: Sequence[float] | None = None, name="segmentation", **kwargs):
        super().__init__(name=name, **kwargs)
        self.class_weights = None if class_weights is None else tuple(map(float, class_weights))

    def call(self, y_true, y_pred) -> keras.KerasTensor:
        y_true, logits = ops.cast(y_true, "int32"), ops.cast(y_pred, "float32")
        logits = ops.image.resize(logits, y_true.shape[1:3], data_format="channels_last")
        has_class = ops.not_equal(y_true, VOID)
        classes = ops.where(has_class, y_true, 0)
        entropy = ops.sparse_categorical_crossentropy(classes, logits, from_logits=True)
        counted = ops.cast(has_class, "float32")
        if self.class_weights is not None:
            weights = ops.convert_to_tensor(np.asarray(self.class_weights, np.float32))
            counted = counted * ops.take(weights, classes)
        total = ops.sum(counted, axis=(1, 2))
        return ops.sum(entropy * counted, axis=(1, 2)) / ops.maximum(total, 1.0)

    def get_config(self) -> dict:
        weights = self.class_weights
        return super().get_config() | {"class_weights": weights and list(weights)}


def class_weights(pixels: np.ndarray) -> np.ndarray:
    """What a pixel of each class counts for, so that rare classes are learnt too.

    Args:
        pixels: How many of each class there are, `(classes,)`.

    Returns:
        float64 `(classes,)`: 1 / ln(1.02 + share of the pixels), from 1.4 to 50.

    Source: A. Paszke et al., "ENet", arXiv 1606.02147, section 5.1.
    """
    return 1.0 / np.log(1.02 + pixels / max(int(np.sum(pixels)), 1))


def pixel_accuracy(y_true, y_pred) -> keras.KerasTensor:
    """Of each image, the share of pixels with a class that have the largest logit of it.

    Args:
        y_true: `(batch, height, width)`, 255 where there is no class.
        y_pred: Logits of a whole fraction of that size, which is looked at.
    """
    y_true = ops.cast(y_true, "int32")
    step = y_true.shape[1] // y_pred.shape[1]
    # The pixel in the middle of those that a logit stands for.
    y_true = y_true[:, step // 2 :: step, step // 2 :: step]
    has_class = ops.cast(ops.not_equal(y_true, VOID), "float32")
    right = ops.cast(ops.equal(ops.cast(ops.argmax(y_pred, axis=-1), "int32"), y_true), "float32")
    total = ops.sum(has_class, axis=(1, 2))
    return ops.sum(right * has_class, axis=(1, 2)) / ops.maximum(total, 1.0)
