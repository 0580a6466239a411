"""Pictures of maps of classes."""

import numpy as np

from care_keras.segmentation.postprocessing import class_colors, colored


def draw_classes(image: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """An image under the colours of its classes.

    Args:
        image: uint8 `(height, width, 3)`.
        classes: uint8 `(height, width)`; darker where there is no such class.
        count: Number of classes.

    Returns:
        uint8 of the image's shape.
    """
    colors = colored(classes, class_colors(count))
    return ((image.astype(np.uint16) + 2 * colors.astype(np.uint16)) // 3).astype(np.uint8)
