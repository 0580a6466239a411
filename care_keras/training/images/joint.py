"""Random scale, crop and flip of an image together with its boxes or its map of classes."""

import dataclasses
import math

import numpy as np

from care_keras.data.preprocessing import resize
from care_keras.data.record import Preprocessing
from care_keras.data.segmentation import VOID
from care_keras.training.images.dense_augmentation import DenseAugmentation

# Share of a box that must be inside the crop. Of less one mostly cannot tell what it was;
# SSD's sampling asks for the centre, which is a quarter of the box at least.
MIN_VISIBLE = 0.25


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where an image comes to lie in the model's input.

    Attributes:
        size: Height and width of the input in pixels.
        scaled: Height and width that the whole image is resized to.
        corner: Row and column of the scaled image where the input begins;
            negative where there is nothing before the image.
        flip: Whether the input is then mirrored, left to right.
    """

    size: tuple[int, int]
    scaled: tuple[int, int]
    corner: tuple[int, int]
    flip: bool = False

    def image(self, image: np.ndarray, interpolation: str, fill: np.ndarray) -> np.ndarray:
        """uint8 `(*size, channels)` of an image of any size; `fill` is the colour around it."""
        return self._placed(image, interpolation, fill)

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """uint8 `(*size)` of a map of classes `(height, width)` of any size; no class around it."""
        return self._placed(mask[..., None], "nearest", VOID)[..., 0]

    def boxes(self, boxes: np.ndarray, crowd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes on the input, cut to it.

        Args:
            boxes: float32 `(n, 4)`: ymin, xmin, ymax, xmax from 0 to 1 of the image.
            crowd: bool `(n,)`: regions that stay however little of them does.

        Returns:
            float32 `(kept, 4)`, from 0 to 1 of the input, and which of the `n` they are.
        """
        scaled, corner, size = (np.tile(pair, 2) for pair in (self.scaled, self.corner, self.size))
        on_input = (boxes * scaled - corner) / size
        if self.flip:
            on_input = on_input[:, [0, 3, 2, 1]]
            on_input[:, [1, 3]] = 1.0 - on_input[:, [1, 3]]
        cut = on_input.clip(0.0, 1.0)
        visible = _areas(cut) / np.maximum(_areas(on_input), np.finfo(np.float32).tiny)
        (kept,) = np.nonzero((visible >= MIN_VISIBLE) | (crowd & (visible > 0)))
        return cut[kept].astype(np.float32), kept

    def _placed(self, pixels, interpolation, fill):
        # Of the scaled image, the rows and columns that the input shows.
        first = np.maximum(self.corner, 0)
        end = np.minimum(np.add(self.corner, self.size), self.scaled)
        factors = np.divide(pixels.shape[:2], self.scaled)
        # Rounding must not lead out of the image.
        last = np.minimum(end * factors, pixels.shape[:2])
        box = tuple(float(edge) for edge in (*(first * factors), *last))
        part = resize(pixels, tuple(end - first), interpolation, box)
        if part.shape[:2] != self.size:
            placed = np.empty((*self.size, pixels.shape[-1]), np.uint8)
            placed[:] = fill
            top, left = first - self.corner
            placed[top : top + len(part), left : left + part.shape[1]] = part
            part = placed
        return part[:, ::-1] if self.flip else part


def _areas(boxes):
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)


def random_placement(
    rng: np.random.Generator,
    image_size: tuple[int, int],
    preprocessing: Preprocessing,
    augmentation: DenseAugmentation,
) -> Placement:
    """Draws where an image comes to lie.

    At a scale of 1 all of it just fits the input: as it is stretched for
    evaluation, where the model's record says so, else at its own aspect ratio.

    Args:
        rng: Source of the randomness.
        image_size: Height and width of the image.
        preprocessing: The model's record.
        augmentation: What is drawn from.
    """
    size = preprocessing.height, preprocessing.width
    scale = rng.uniform(*augmentation.scale_range)
    widest = math.log1p(augmentation.aspect_jitter)
    stretch = math.exp(rng.uniform(-widest, widest) / 2)
    height, width = fitting_size(image_size, preprocessing)
    scaled = (max(1, round(height * scale / stretch)), max(1, round(width * scale * stretch)))
    corner = tuple(_random_corner(rng, *sides) for sides in zip(size, scaled, strict=True))
    return Placement(size, scaled, corner, augmentation.flip and rng.random() < 0.5)


def _random_corner(rng, inside, whole):
    """Where the input begins along one side: in the image, or the image in the input."""
    low, high = sorted((0, whole - inside))
    return int(rng.integers(low, high, endpoint=True))


def fitting_size(image_size: tuple[int, int], preprocessing: Preprocessing) -> tuple[float, float]:
    """Height and width at which an image just fits the model's input."""
    height, width = preprocessing.height, preprocessing.width
    if preprocessing.fit == "stretch":
        return float(height), float(width)
    scale = min(height / image_size[0], width / image_size[1])
    return image_size[0] * scale, image_size[1] * scale


def mean_color(preprocessing: Preprocessing) -> np.ndarray:
    """uint8 `(channels,)`: the colour that becomes 0."""
    return np.clip(np.rint(255.0 * np.asarray(preprocessing.mean)), 0, 255).astype(np.uint8)
