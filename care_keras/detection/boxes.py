"""Boxes out of a detector's outputs, on any backend: decoding and suppression."""

import keras
import numpy as np
from keras import ops

from care_keras.detection.anchors import LOCATION_SCALES, Anchors

# A box is at most so many times its anchor: early in training an exponential runs away.
_LARGEST = 64.0
_VARIANCE = tuple(1.0 / scale for scale in LOCATION_SCALES)


def decode(location, anchors: np.ndarray) -> keras.KerasTensor:
    """Boxes that a detector's locations stand for.

    Args:
        location: `(batch, anchors, 4)`, see `RetinaNet`.
        anchors: `(anchors, 4)`: centre y, centre x, height, width.

    Returns:
        `(batch, anchors, 4)`: ymin, xmin, ymax, xmax, in the anchors' unit.
    """
    limit = LOCATION_SCALES[2] * float(np.log(_LARGEST))
    location = ops.concatenate(
        [location[..., :2], ops.clip(location[..., 2:], -limit, limit)], axis=-1
    )
    return keras.utils.bounding_boxes.decode_deltas_to_boxes(
        ops.convert_to_tensor(anchors, location.dtype),
        location,
        anchor_format="center_yxhw",
        box_format="yxyx",
        encoded_format="center_yxhw",
        variance=_VARIANCE,
    )


def detections(
    location,
    score,
    anchors: Anchors,
    image_size: tuple[int, int],
    score_threshold: float = 0.05,
    iou_threshold: float = 0.6,
    candidates: int = 1000,
    most: int = 100,
) -> tuple:
    """The objects that a detector found: the best boxes of each class that do not overlap.

    Args:
        location: `(batch, anchors, 4)`, see `RetinaNet`.
        score: `(batch, anchors, classes)`.
        anchors: The detector's.
        image_size: Height and width of the input in pixels.
        score_threshold: Boxes of lower scores are left out.
        iou_threshold: Of two boxes of one class with a greater IoU the better stays.
        candidates: How many boxes of the highest scores are looked at.
        most: How many objects an image has at most.

    Returns:
        `(boxes, scores, labels)`: `(batch, most, 4)` as ymin, xmin, ymax, xmax in pixels
        of the input, `(batch, most)`, and int32 `(batch, most)`. Best first; rows
        that are left over have score 0 and label -1.
    """
    height, width = image_size
    boxes = decode(location, anchors.boxes(image_size))
    boxes = ops.clip(boxes, 0.0, np.asarray([height, width] * 2, np.float32))
    classes, count = score.shape[-1], score.shape[-2]
    flat = ops.reshape(score, (-1, count * classes))
    scores, places = ops.top_k(flat, min(candidates, count * classes))
    labels = places % classes
    boxes = ops.take_along_axis(boxes, (places // classes)[..., None], axis=1)
    # Apart by class: boxes of two classes never overlap.
    apart = ops.cast(labels, boxes.dtype)[..., None] * float(2 * max(image_size))
    kept = _suppressed(boxes + apart, scores > score_threshold, iou_threshold)
    scores, best = ops.top_k(ops.where(kept, scores, 0.0), min(most, scores.shape[-1]))
    found = scores > 0.0
    boxes = ops.take_along_axis(boxes, best[..., None], axis=1)
    labels = ops.where(found, ops.take_along_axis(labels, best, axis=1), -1)
    return ops.where(found[..., None], boxes, 0.0), scores, ops.cast(labels, "int32")


def _suppressed(boxes, valid, threshold):
    """Which boxes, best first, greedy suppression keeps.

    Whether a box stays depends on better ones alone: what is asked of all boxes
    at once and again until nothing changes is right from the best box on, one
    further each time at least (Cluster-NMS, arXiv 2005.03572, section 4).
    """
    iou = keras.utils.bounding_boxes.compute_iou(boxes, boxes, "yxyx")
    better = np.tril(np.ones((boxes.shape[1],) * 2, bool), -1)
    overlap = ops.cast(ops.logical_and(iou > threshold, better), "float32")

    def again(kept, changed):
        rivals = ops.matmul(overlap, ops.cast(kept, "float32")[..., None])[..., 0]
        now = ops.logical_and(valid, rivals < 0.5)
        return now, ops.any(ops.not_equal(now, kept))

    kept, _ = ops.while_loop(
        lambda kept, changed: changed, again, (valid, ops.convert_to_tensor(True))
    )
    return kept
