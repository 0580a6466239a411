"""Pictures of what was found in images, by Pillow alone."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from care_keras.detection.average_precision import Detections
from care_keras.pictures import COLORS

# Between pictures side by side, in pixels.
_GAP = 4
# Height of a line of text.
_LINE = 14
# Boxes of lower scores are not drawn.
_SHOWN = 0.4


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    scores: np.ndarray | None = None,
) -> np.ndarray:
    """An image with boxes and the names of their classes.

    Args:
        image: uint8 `(height, width, 3)`.
        boxes: `(boxes, 4)`: ymin, xmin, ymax, xmax in pixels.
        labels: `(boxes,)`: indices of classes.
        class_names: Their names.
        scores: `(boxes,)`: stand beside the names, where there are any.

    Returns:
        uint8 of the image's shape.
    """
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    for place, (top, left, bottom, right) in enumerate(np.asarray(boxes, float)):
        color = COLORS[int(labels[place]) % len(COLORS)]
        draw.rectangle((left, top, right, bottom), outline=color, width=2)
        text = class_names[int(labels[place])]
        if scores is not None:
            text += f" {scores[place]:.2f}"
        corner = (left + 3, max(top - 11, 0))
        draw.rectangle(draw.textbbox(corner, text), fill=color)
        draw.text(corner, text, fill="white")
    return np.asarray(picture)


def draw_detections(
    image: np.ndarray, detections: Detections, class_names: Sequence[str]
) -> np.ndarray:
    """An image with what a detector found and is fairly sure of; see `draw_boxes`.

    Args:
        image: uint8 `(height, width, 3)`.
        detections: Boxes in pixels of it, scores, labels.
        class_names: Names of the classes.
    """
    boxes, scores, labels = detections
    shown = scores >= _SHOWN
    return draw_boxes(image, boxes[shown], labels[shown], class_names, scores[shown])


def titled(image: np.ndarray, title: str) -> np.ndarray:
    """An image below a line of text."""
    line = Image.new("RGB", (image.shape[1], _LINE), "white")
    ImageDraw.Draw(line).text((3, 1), title, fill="black")
    return np.concatenate([np.asarray(line), image])


def beside(*images: np.ndarray) -> np.ndarray:
    """Images of one height side by side, white between them."""
    height = images[0].shape[0]
    gap = np.full((height, _GAP, 3), 255, np.uint8)
    parts = [part for image in images for part in (image, gap)]
    return np.concatenate(parts[:-1], axis=1)


def below(images: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of any size one below the other, white around them."""
    width = max(image.shape[1] for image in images)
    rows = []
    for image in images:
        row = np.full((image.shape[0] + _GAP, width, 3), 255, np.uint8)
        row[: image.shape[0], : image.shape[1]] = image
        rows.append(row)
    return np.concatenate(rows)[:-_GAP]
