"""A map of classes out of a segmenter's logits in NumPy: what an app does with them.

`docs/android.md` has the same in Kotlin, line for line.
"""

import numpy as np


def enlarge(logits: np.ndarray, size: tuple[int, int], align_corners: bool = False) -> np.ndarray:
    """Logits at another size, by bilinear interpolation between the middles of pixels.

    Args:
        logits: float `(height, width, classes)`.
        size: Height and width of the result.
        align_corners: Whether the middles of the corners' pixels come to lie on one
            another, as MediaPipe has it, in place of the corners themselves.

    Returns:
        float32 `(*size, classes)`.
    """
    rows, columns = (
        _weights(*sides, align_corners) for sides in zip(size, logits.shape[:2], strict=True)
    )
    by_columns = np.einsum("Ww,hwc->hWc", columns, logits.astype(np.float32), optimize=True)
    return np.einsum("Hh,hWc->HWc", rows, by_columns, optimize=True)


def class_map(logits: np.ndarray, size: tuple[int, int], align_corners: bool = False) -> np.ndarray:
    """The class of each pixel of an image.

    Args:
        logits: `(height, width, classes)`, of any number type.
        size: Height and width of the image.
        align_corners: As of `enlarge`.

    Returns:
        uint8 `(*size)`; of equal logits the first class.
    """
    return enlarge(logits, size, align_corners).argmax(axis=-1).astype(np.uint8)


def colored(classes: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """A picture of a map of classes.

    Args:
        classes: uint8 `(height, width)`; black where there is no such class.
        colors: uint8 `(classes, 3)`.

    Returns:
        uint8 `(height, width, 3)`.
    """
    table = np.zeros((256, 3), np.uint8)
    table[: len(colors)] = colors
    return table[classes]


def class_colors(count: int) -> np.ndarray:
    """uint8 `(count, 3)`: colours that neighbours in the list do not share, PASCAL VOC's.

    The bits of a class's number, counted from 1, are dealt out to red, green and blue, from
    the highest bit of each down.
    """
    colors = np.zeros((count, 3), np.uint8)
    for place in range(count):
        for bit in range(8):
            for channel in range(3):
                taken = ((place + 1) >> (3 * bit + channel)) & 1
                colors[place, channel] |= taken << (7 - bit)
    return colors


def _weights(size, of, align_corners):
    """`(size, of)`: what each of `of` pixels in a row counts for each of `size`."""
    if align_corners:
        places = np.arange(size) * (of - 1) / max(size - 1, 1)
    else:
        places = ((np.arange(size) + 0.5) * of / size - 0.5).clip(0, of - 1)
    low = np.minimum(places.astype(int), of - 1)
    high = np.minimum(low + 1, of - 1)
    share = places - low
    weights = np.zeros((size, of), np.float32)
    np.add.at(weights, (np.arange(size), low), 1.0 - share)
    np.add.at(weights, (np.arange(size), high), share)
    return weights
