"""Which anchors learn which objects: Adaptive Training Sample Selection."""

import dataclasses

import keras
import numpy as np
from keras import ops

from care_keras.detection.anchors import Anchors

# Anchors of each level that an object chooses from, the paper's.
_CANDIDATES = 9


@dataclasses.dataclass(frozen=True)
class Assignment:
    """What each anchor of each image is to learn.

    Attributes:
        positive: bool `(batch, anchors)`: whether it has an object.
        object: int32 `(batch, anchors)`: which one of its image; any, where it has none.
        ignored: bool `(batch, anchors)`: whether it may find anything, in a crowd.
    """

    positive: object
    object: object
    ignored: object


def assign(boxes, labels, anchors: Anchors, image_size: tuple[int, int]) -> Assignment:
    """Chooses anchors for objects.

    An object's candidates are the anchors of each level whose centres are
    nearest to its own; those are taken whose IoU with it is at least the
    candidates' mean and standard deviation together, and whose centre lies in
    it. An anchor that several objects take has the one of the greatest IoU.

    Source: arXiv 1912.02424, algorithm 1. Anchors as near as the last candidate
    are candidates too, where the algorithm leaves open which.

    Args:
        boxes: `(batch, objects, 4)`: ymin, xmin, ymax, xmax in pixels.
        labels: `(batch, objects)`: a class; -1 where there is no object, -2 of a crowd.
        anchors: The detector's.
        image_size: Height and width of the images.
    """
    boxes, labels = ops.convert_to_tensor(boxes), ops.convert_to_tensor(labels)
    every = anchors.boxes(image_size)
    half = every[:, 2:] / 2
    corners = np.concatenate([every[:, :2] - half, every[:, :2] + half], -1)
    centres = ops.convert_to_tensor(every[:, :2])
    iou = keras.utils.bounding_boxes.compute_iou(ops.convert_to_tensor(corners), boxes, "yxyx")
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2.0
    # (batch, objects, anchors), as all below.
    iou = ops.transpose(iou, (0, 2, 1))
    distance = sum(ops.square(middle[..., axis, None] - centres[:, axis]) for axis in (0, 1))
    inside = ops.logical_and(
        ops.all(centres > boxes[..., None, :2], axis=-1),
        ops.all(centres < boxes[..., None, 2:], axis=-1),
    )
    is_candidate = ops.cast(_nearest(distance, anchors.counts(image_size)), iou.dtype)
    count = ops.sum(is_candidate, axis=-1, keepdims=True)
    mean = ops.sum(is_candidate * iou, axis=-1, keepdims=True) / count
    spread = ops.sum(is_candidate * ops.square(iou - mean), axis=-1, keepdims=True)
    threshold = mean + ops.sqrt(spread / ops.maximum(count - 1.0, 1.0))
    chosen = ops.logical_and(ops.logical_and(is_candidate > 0.0, iou >= threshold), inside)
    chosen = ops.logical_and(chosen, labels[..., None] >= 0)
    rank = ops.where(chosen, iou, -1.0)
    in_crowd = ops.logical_and(inside, ops.equal(labels, -2)[..., None])
    return Assignment(
        positive=ops.any(chosen, axis=1),
        object=ops.argmax(rank, axis=1),
        ignored=ops.any(in_crowd, axis=1),
    )


def _nearest(distance, counts):
    """Of each level, which anchors are the nearest to each object."""
    parts, start = [], 0
    for count in counts:
        of_level = distance[..., start : start + count]
        nearest, _ = ops.top_k(-of_level, min(_CANDIDATES, count))
        parts.append(of_level <= -nearest[..., -1:])
        start += count
    return ops.concatenate(parts, axis=-1)
