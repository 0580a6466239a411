"""Small images out of photos: a teacher says something new about them."""

import numpy as np
from PIL import Image

from care_keras.data.sources import Source

# Smallest side of a piece, in parts of the photo's shorter one.
_SMALLEST = 0.3


def cut(photos: Source, size: int, per_photo: int, seed: int = 0) -> np.ndarray:
    """Squares of any place and scale, reduced to one size.

    Args:
        photos: At least as large as the pieces.
        size: Height and width of the pieces.
        per_photo: How many of each photo.
        seed: Of places and scales.

    Returns:
        uint8 `(photos * per_photo, size, size, 3)`.

    Raises:
        ValueError: If a photo is smaller than a piece, or cannot be read.
    """
    random = np.random.default_rng(seed)
    pieces = np.empty((len(photos), per_photo, size, size, 3), np.uint8)
    for index, name in enumerate(photos.item_names):
        photo = Image.fromarray(photos[index])
        shorter = min(photo.size)
        if shorter < size:
            raise ValueError(
                f"A photo must have at least {size} pixels a side. "
                f"Received: {name} of {photo.width}x{photo.height}"
            )
        for piece in pieces[index]:
            side = max(size, round(shorter * random.uniform(_SMALLEST, 1.0)))
            x, y = (int(random.integers(length - side + 1)) for length in photo.size)
            box = (x, y, x + side, y + side)
            piece[:] = photo.resize((size, size), Image.Resampling.BOX, box)
    return pieces.reshape(-1, size, size, 3)
