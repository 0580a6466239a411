"""Images unlike those that a network was calibrated with, and some that are like them."""

import numpy as np

FAMILIES = ("constant", "single pixel", "noise", "photo")
# Standard deviations of noise, in pixel values: from what rounding hides to what only clips.
_NOISE = (0.5, 1.0, 4.0, 16.0, 64.0, 256.0, 4096.0)
_ENDS = (0, 255, 128)


def odd_input(index: int, seed: int, photos: np.ndarray) -> tuple[str, np.ndarray]:
    """One of an endless row of images, always the same for an index.

    Args:
        index: Its place; families take turns. The first of the constant ones
            are black, white and grey.
        seed: Seed of what is drawn.
        photos: uint8 array of shape `(photos, height, width, 3)`, or 1 of grey ones.

    Returns:
        Its family and the image, uint8 of the photos' shape.
    """
    generator = np.random.default_rng((seed, index))
    turn, family = divmod(index, len(FAMILIES))
    shape = photos.shape[1:]
    name = FAMILIES[family]
    if name == "constant":
        channels = shape[-1]
        ends = turn < len(_ENDS)
        color = [_ENDS[turn]] * channels if ends else generator.integers(0, 256, channels)
        return name, np.broadcast_to(np.asarray(color, np.uint8), shape).copy()
    if name == "single pixel":
        value = 255 * (turn % 2)
        image = np.full(shape, 255 - value, np.uint8)
        image[generator.integers(shape[0]), generator.integers(shape[1])] = value
        return name, image
    if name == "noise":
        middle = generator.uniform(0.0, 255.0)
        values = middle + _NOISE[turn % len(_NOISE)] * generator.standard_normal(shape)
        return name, np.clip(np.rint(values), 0, 255).astype(np.uint8)
    photo = photos[turn % len(photos)]
    # Once around, photos come brighter or darker.
    gain = 1.0 if turn < len(photos) else generator.uniform(0.1, 3.0)
    return name, np.clip(gain * photo.astype(np.float32), 0, 255).astype(np.uint8)
