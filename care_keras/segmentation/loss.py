"""What a segmenter learns by: the class of each pixel that has one."""

import keras
from keras import ops

from care_keras.data.segmentation import VOID


@keras.saving.register_keras_serializable(package="care_keras")
class SegmentationLoss(keras.losses.Loss):
    """Cross-entropy of the pixels that have a class, at the size of the labels.

    Logits, which are smaller than the image, are enlarged by bilinear
    interpolation first, as apps enlarge them. Each image counts alike, however
    many of its pixels have a class.

    Shapes: `y_true`, `(batch, height, width)`: classes, 255 where there is none.
    `y_pred`, `(batch, height / s, width / s, classes)`: logits.
    """

    def __init__(self, name="segmentation", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred) -> keras.KerasTensor:
        y_true, logits = ops.cast(y_true, "int32"), ops.cast(y_pred, "float32")
        logits = ops.image.resize(logits, y_true.shape[1:3], data_format="channels_last")
        has_class = ops.not_equal(y_true, VOID)
        entropy = ops.sparse_categorical_crossentropy(
            ops.where(has_class, y_true, 0), logits, from_logits=True
        )
        counted = ops.cast(has_class, "float32")
        total = ops.sum(counted, axis=(1, 2))
        return ops.sum(entropy * counted, axis=(1, 2)) / ops.maximum(total, 1.0)


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
