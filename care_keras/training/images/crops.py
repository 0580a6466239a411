"""Random crops: where an augmented training image is cut out of its photo."""

import math

import numpy as np

from care_keras.data.preprocessing import resize

_ATTEMPTS = 10


def random_resized_crop(
    image: np.ndarray,
    rng: np.random.Generator,
    size: tuple[int, int],
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    interpolation: str = "bicubic",
) -> np.ndarray:
    """Cuts out a random part of an image and resizes it, as Inception's training does.

    The part's share of the area is uniform, its ratio of width to height
    log-uniform. Where ten draws do not fit into the image, the largest centre
    crop of an allowed ratio is taken.

    Args:
        image: uint8 array of shape `(height, width, 3)`, or 1 of a grey one.
        rng: Source of the randomness.
        size: Height and width of the result in pixels.
        scale: Smallest and largest share of the image's area.
        ratio: Smallest and largest width / height.
        interpolation: Of the resizing, or `"random"`: bilinear or bicubic.

    Returns:
        uint8 array of shape `(*size, 3)`, or 1.
    """
    top, left, height, width = _random_part(image.shape[:2], rng, scale, ratio)
    if interpolation == "random":
        interpolation = ("bilinear", "bicubic")[rng.integers(2)]
    return resize(image[top : top + height, left : left + width], size, interpolation)


def _random_part(image_size, rng, scale, ratio):
    """`(top, left, height, width)`."""
    image_height, image_width = image_size
    for _ in range(_ATTEMPTS):
        area = image_height * image_width * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        height, width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < height <= image_height and 0 < width <= image_width:
            top = rng.integers(image_height - height + 1)
            left = rng.integers(image_width - width + 1)
            return top, left, height, width
    width = min(image_width, round(image_height * ratio[1]))
    height = min(image_height, round(image_width / ratio[0]))
    return (image_height - height) // 2, (image_width - width) // 2, height, width


def padded_crops(
    pixels: np.ndarray, rng: np.random.Generator, size: tuple[int, int], padding: int
) -> np.ndarray:
    """Random crops of images that are padded by reflection, so that no black bars are learnt.

    Args:
        pixels: Array of shape `(images, height, width, channels)`.
        rng: Source of the randomness.
        size: Height and width of the crops.
        padding: Pixels added on each side.

    Returns:
        Array of shape `(images, *size, channels)` and the same dtype.
    """
    count, height, width, _ = pixels.shape
    border = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded = np.pad(pixels, border, mode="reflect") if padding else pixels
    top = rng.integers(0, height + 2 * padding - size[0] + 1, count)
    left = rng.integers(0, width + 2 * padding - size[1] + 1, count)
    rows = top[:, None] + np.arange(size[0])
    columns = left[:, None] + np.arange(size[1])
    return padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
