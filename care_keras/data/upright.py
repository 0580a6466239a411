"""Which way up an image is stored, and how what was drawn on it turns with it."""

import dataclasses
import io
import os

import numpy as np
from PIL import ExifTags, Image

# EXIF orientation to what brings the image upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What each does to x and y: first they change places, then they run the other way.
_EXCHANGES = ("TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
_REVERSES_X = ("FLIP_LEFT_RIGHT", "ROTATE_180", "ROTATE_270", "TRANSVERSE")
_REVERSES_Y = ("FLIP_TOP_BOTTOM", "ROTATE_180", "TRANSVERSE", "ROTATE_90")


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """What brings an image upright; `None` if it is, or nothing legible says otherwise."""
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    # Damaged EXIF raises many types, and is no reason to refuse the pixels.
    except Exception:
        return None


@dataclasses.dataclass(frozen=True)
class StoredForm:
    """How the pixels of an image file lie.

    Attributes:
        size: Height and width in pixels, as stored.
        turn: What brings it upright, or `None`.
    """

    size: tuple[int, int]
    turn: Image.Transpose | None

    @property
    def upright_size(self) -> tuple[int, int]:
        """Height and width of the image that `decode_image` gives."""
        return self.size[::-1] if self._does(_EXCHANGES) else self.size

    def has_turned(self, size: tuple[int, int]) -> bool:
        """Whether something of that size was drawn on the upright image, not on the stored one.

        Where the turn keeps the size it is taken to be of the stored one, which is
        what COCO's format means.
        """
        return size != self.size and size == self.upright_size

    def turned_boxes(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes on the stored image `(n, 4)`: ymin, xmin, ymax, xmax in pixels, made upright."""
        if self.turn is None:
            return boxes
        if self._does(_EXCHANGES):
            boxes = boxes[:, [1, 0, 3, 2]]
        height, width = self.upright_size
        if self._does(_REVERSES_Y):
            boxes = np.stack([height - boxes[:, 2], boxes[:, 1], height - boxes[:, 0], boxes[:, 3]])
            boxes = boxes.T
        if self._does(_REVERSES_X):
            boxes = np.stack([boxes[:, 0], width - boxes[:, 3], boxes[:, 2], width - boxes[:, 1]]).T
        return np.ascontiguousarray(boxes)

    def turned_mask(self, mask: np.ndarray) -> np.ndarray:
        """A map of classes `(height, width)` on the stored image, made upright."""
        if self.turn is None:
            return mask
        return np.asarray(Image.fromarray(mask).transpose(self.turn))

    def _does(self, names):
        return self.turn is not None and self.turn.name in names


def stored_form(source: str | os.PathLike | bytes) -> StoredForm:
    """Looks at the header of an image, a path or the encoded bytes.

    Raises:
        ValueError: If it is no image.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with Image.open(stream) as image:
            form = StoredForm(image.size[::-1], turn_of(image))
            # Pillow says of a TIFF the size that it will have when it is loaded.
            return StoredForm(form.upright_size, form.turn) if image.format == "TIFF" else form
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        name = f"{len(source)} bytes" if isinstance(source, bytes) else os.fspath(source)
        raise ValueError(f"Cannot decode the image. Received: {name} ({error})") from error
