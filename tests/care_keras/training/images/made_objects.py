"""A source of images that all have the same objects."""

from collections.abc import Callable

import numpy as np

from care_keras.data.detection import DetectionSource, Objects


def made_source(objects: Objects, read: Callable | None = None) -> DetectionSource:
    """Four images of 40x80 pixels, classes `a` and `b`."""
    return DetectionSource(
        "made",
        4,
        read or (lambda index: np.zeros((40, 80, 3), np.uint8)),
        None,
        ("a", "b"),
        tuple("wxyz"),
        lambda index: objects,
        lambda index: (40, 80),
        np.full(4, len(objects)),
        tuple(range(4)),
        (1, 2),
    )
