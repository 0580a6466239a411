"""A map of classes out of a segmenter's logits in NumPy: what an app does with them.

`docs/android.md` has the same in Kotlin, line for line.
"""

import numpy as np

# Enlarged logits that are held at once, 64 MiB.
_STRIP_VALUES = 2**24


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
    return np.concatenate(list(_strips(logits, size, align_corners)))


def class_map(logits: np.ndarray, size: tuple[int, int], align_corners: bool = False) -> np.ndarray:
    """The class of each pixel of an image.

    Args:
        logits: `(height, width, classes)`, of any number type.
        size: Height and width of the image.
        align_corners: As of `enlarge`.

    Returns:
        uint8 `(*size)`; of equal logits the first class.
    """
    # Enlarged logits of many classes take a hundred times the memory of the map.
    strips = _strips(logits, size, align_corners)
    return np.concatenate([strip.argmax(axis=-1).astype(np.uint8) for strip in strips])


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


def _strips(logits, size, align_corners):
    """The enlarged logits, some rows at a time."""
    rows, columns = (
        _places(*sides, align_corners) for sides in zip(size, logits.shape[:2], strict=True)
    )
    wide = _between(logits.astype(np.float32).swapaxes(0, 1), columns).swapaxes(0, 1)
    for some in np.array_split(rows, max(1, size[0] * wide[0].size // _STRIP_VALUES)):
        yield _between(wide, some)


def _between(values, places):
    """Rows of an array at places between them."""
    low = np.minimum(places.astype(int), len(values) - 1)
    high = np.minimum(low + 1, len(values) - 1)
    share = (places - low).astype(np.float32).reshape(-1, *(1,) * (values.ndim - 1))
    return values[low] * (1 - share) + values[high] * share


def _places(size, of, align_corners):
    """float64 `(size)`: where each of `size` pixels lies among `of`."""
    if align_corners:
        return np.arange(size) * (of - 1) / max(size - 1, 1)
    return ((np.arange(size) + 0.5) * of / size - 0.5).clip(0, of - 1)
