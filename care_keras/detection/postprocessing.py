"""Boxes out of a detector's outputs in NumPy: what an app does with them, step by step.

`docs/android.md` has the same in Kotlin, line for line.
"""

import numpy as np

from care_keras.detection.anchors import LOCATION_SCALES


def decode(location: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Boxes that locations stand for.

    Args:
        location: `(anchors, 4)`: offsets y and x of the centre, logarithms of height and width.
        anchors: `(anchors, 4)`: centre y, centre x, height, width.

    Returns:
        `(anchors, 4)`: ymin, xmin, ymax, xmax, in the anchors' unit.
    """
    scaled = location / np.asarray(LOCATION_SCALES, np.float32)
    centre = anchors[:, :2] + scaled[:, :2] * anchors[:, 2:]
    half = np.exp(scaled[:, 2:]) * anchors[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def detections(
    location: np.ndarray,
    score: np.ndarray,
    anchors: np.ndarray,
    image_size: tuple[int, int],
    score_threshold: float = 0.05,
    iou_threshold: float = 0.6,
    candidates: int = 1000,
    most: int = 100,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The objects of one image: the best boxes of each class that do not overlap.

    Args:
        location: float `(anchors, 4)`.
        score: float `(anchors, classes)`, from 0 to 1.
        anchors: `(anchors, 4)` in pixels of the input.
        image_size: Height and width of the input in pixels.
        score_threshold: Boxes of lower scores are left out.
        iou_threshold: Of two boxes of one class with a greater IoU the better stays.
        candidates: How many boxes of the highest scores are looked at.
        most: How many objects there are at most.

    Returns:
        `(boxes, scores, labels)`, best first: float32 `(objects, 4)` as ymin, xmin, ymax,
        xmax in pixels of the input, float32 and int64 `(objects,)`.
    """
    height, width = image_size
    flat = score.reshape(-1)
    # Of equal scores the first.
    order = np.argsort(-flat, kind="stable")[:candidates]
    order = order[flat[order] > score_threshold]
    anchor, label = np.divmod(order, score.shape[1])
    boxes = decode(location[anchor].astype(np.float32), anchors[anchor])
    boxes = boxes.clip(0, [height, width, height, width]).astype(np.float32)
    kept: list[int] = []
    for place, box in enumerate(boxes):
        rivals = [one for one in kept if label[one] == label[place]]
        if not rivals or iou(box, boxes[rivals]).max() <= iou_threshold:
            kept.append(place)
            if len(kept) == most:
                break
    return boxes[kept], flat[order[kept]].astype(np.float32), label[kept]


def on_image(boxes: np.ndarray, size: tuple[int, int], image_size: tuple[int, int]) -> np.ndarray:
    """Boxes in pixels of the input as they lie on the image, which was stretched to it.

    Args:
        boxes: `(boxes, 4)`: ymin, xmin, ymax, xmax.
        size: Height and width of the input.
        image_size: Those of the image.

    Returns:
        float32 of the same shape.
    """
    return (boxes * np.tile(np.divide(image_size, size), 2)).astype(np.float32)


def iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of one box, `(4,)`, with others, `(boxes, 4)`."""
    top = np.maximum(box[:2], boxes[:, :2])
    bottom = np.minimum(box[2:], boxes[:, 2:])
    shared = (bottom - top).clip(0).prod(axis=1)
    area = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - shared
    return shared / np.maximum(area, 1e-9)
