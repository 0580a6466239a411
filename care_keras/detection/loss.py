"""What a detector learns by: the quality of its scores and the places of its boxes."""

import keras
import numpy as np
from keras import ops

from care_keras.detection.anchors import Anchors
from care_keras.detection.assignment import assign
from care_keras.detection.boxes import decode

# Weight of the boxes, as in ATSS and in Generalized Focal Loss.
_BOX_WEIGHT = 2.0
# Scores are kept off 0 and 1, where the logarithm ends.
_LEAST = 1e-6
_ANY_BOX = np.array([0.0, 0.0, 1.0, 1.0], np.float32)


@keras.saving.register_keras_serializable(package="care_keras")
class DetectionLoss(keras.losses.Loss):
    """Quality focal loss of the scores, and CIoU loss of the boxes.

    The score of an anchor's class learns the IoU of its box with the object, all
    other scores learn 0: scores then rank boxes by their place as well. Both
    parts are divided by the number of anchors that have objects.

    Source: X. Li et al., "Generalized Focal Loss", arXiv 2006.04388, section
    3.2; Z. Zheng et al., "Distance-IoU Loss", arXiv 1911.08287.

    Args:
        anchors: The detector's.
        image_size: Height and width of its images.

    Shapes: `y_true`, `(batch, objects, 5)`: ymin, xmin, ymax, xmax from 0 to 1, and
    the class; -1 where there is no object, -2 of a crowd, in which anchors may
    find what they like. `y_pred`, `(batch, anchors, 4 + classes)`: a detector's two
    outputs side by side.
    """

    def __init__(self, anchors: Anchors, image_size: tuple[int, int], name="detection", **kwargs):
        super().__init__(name=name, **kwargs)
        self.anchors = anchors if isinstance(anchors, Anchors) else Anchors(**anchors)
        self.image_size = tuple(image_size)

    def call(self, y_true, y_pred) -> keras.KerasTensor:
        classes, boxes = self._parts(y_true, y_pred)
        return classes + _BOX_WEIGHT * boxes

    def class_loss(self, y_true, y_pred) -> keras.KerasTensor:
        """Of each image the part of the scores."""
        return self._parts(y_true, y_pred)[0]

    def box_loss(self, y_true, y_pred) -> keras.KerasTensor:
        """Of each image the part of the boxes, not yet weighted."""
        return self._parts(y_true, y_pred)[1]

    def _parts(self, y_true, y_pred):
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        height, width = self.image_size
        objects = y_true[..., :4] * ops.convert_to_tensor([height, width] * 2, "float32")
        labels = ops.cast(y_true[..., 4], "int32")
        assigned = assign(objects, labels, self.anchors, self.image_size)
        positive = ops.cast(assigned.positive, "float32")
        predicted = decode(y_pred[..., :4], self.anchors.boxes(self.image_size))
        wanted = ops.take_along_axis(objects, assigned.object[..., None], axis=1)
        # Where there is no object, any box of some size: its loss counts nothing, and must be a
        # number.
        wanted = ops.where(assigned.positive[..., None], wanted, _ANY_BOX)
        ciou = keras.utils.bounding_boxes.compute_ciou(predicted, wanted, "yxyx")
        boxes = ops.sum(positive * (1.0 - ciou), axis=-1)

        quality = positive * ops.stop_gradient(_iou(predicted, wanted))
        label = ops.take_along_axis(labels, assigned.object, axis=1)
        scores = ops.clip(y_pred[..., 4:], _LEAST, 1.0 - _LEAST)
        target = ops.one_hot(label, scores.shape[-1]) * quality[..., None]
        entropy = ops.binary_crossentropy(target, scores)
        focal = ops.square(target - scores) * entropy
        counted = ops.logical_or(assigned.positive, ops.logical_not(assigned.ignored))
        classes = ops.sum(focal * ops.cast(counted, "float32")[..., None], axis=(-1, -2))

        # The mean over images, which Keras takes, is then the sum over the anchors with objects.
        per_image = ops.maximum(ops.mean(ops.sum(positive, axis=-1)), 1.0)
        return classes / per_image, boxes / per_image

    def get_config(self) -> dict:
        return super().get_config() | {
            "anchors": self.anchors.to_dict(),
            "image_size": list(self.image_size),
        }


def _iou(first, second):
    """IoU of pairs of boxes, row by row."""
    top = ops.maximum(first[..., :2], second[..., :2])
    bottom = ops.minimum(first[..., 2:], second[..., 2:])
    shared = ops.prod(ops.maximum(bottom - top, 0.0), axis=-1)
    area = sum(ops.prod(boxes[..., 2:] - boxes[..., :2], axis=-1) for boxes in (first, second))
    return shared / ops.maximum(area - shared, 1e-6)
