"""Augmentation of whole batches in JAX, traced into the step that learns from them."""

import jax
from jax import numpy as jnp

from care_keras.data.segmentation import VOID

# Pixels around an image before a crop of its own size.
_PADDING = 4
# Largest side of an erased square, in parts of the image.
_ERASED = 0.5


def cropped(images: jax.Array, key: jax.Array) -> jax.Array:
    """Crops of reflected surroundings, of the images' own size, mirrored or not."""
    place_key, mirror_key = jax.random.split(key)
    count, size = images.shape[:2]
    corners = jax.random.randint(place_key, (count, 2), 0, 2 * _PADDING + 1)
    padded = jnp.pad(images, ((0, 0), (_PADDING,) * 2, (_PADDING,) * 2, (0, 0)), mode="reflect")
    steps = jnp.arange(size)
    y = corners[:, 0, None] + steps
    # A mirrored image is read from its right.
    mirrored = jax.random.bernoulli(mirror_key, shape=(count, 1))
    x = corners[:, 1, None] + jnp.where(mirrored, size - 1 - steps, steps)
    return padded[jnp.arange(count)[:, None, None], y[:, :, None], x[:, None, :]]


def erased(images: jax.Array, key: jax.Array) -> jax.Array:
    """Images with 0 in a square somewhere."""
    place_key, size_key = jax.random.split(key)
    count, size = images.shape[:2]
    centres = jax.random.uniform(place_key, (count, 2), maxval=size)
    half = jax.random.uniform(size_key, (count, 1), maxval=_ERASED * size / 2)
    down, across = (jnp.abs(jnp.arange(size) - centres[:, axis, None]) < half for axis in (0, 1))
    return jnp.where((down[:, :, None] & across[:, None, :])[..., None], 0.0, images)


def mixed(images: jax.Array, targets: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Half of the images, mixed with another by any share, and their targets likewise."""
    share_key, choice_key = jax.random.split(key)
    count = len(images)
    share = jax.random.uniform(share_key, (count,))
    share = jnp.where(jax.random.bernoulli(choice_key, shape=(count,)), share, 1.0)
    return _mixed(images, share[:, None, None, None]), _mixed(targets, share[:, None])


def _mixed(values, share):
    return share * values + (1.0 - share) * values[::-1]


def recoloured(images: jax.Array, jitter: float, key: jax.Array) -> jax.Array:
    """RGB images from 0 to 1: brightness, contrast and saturation changed by factors."""
    shape = (len(images), 1, 1, 1)
    brightness, contrast, saturation = (
        jax.random.uniform(part, shape, minval=1 - jitter, maxval=1 + jitter)
        for part in jax.random.split(key, 3)
    )
    images = images * brightness
    grey = images @ jnp.asarray([0.299, 0.587, 0.114])
    images = contrast * images + (1 - contrast) * grey.mean((1, 2))[:, None, None, None]
    images = saturation * images + (1 - saturation) * grey[..., None]
    return images.clip(0.0, 1.0)


def placed(
    images: jax.Array,
    maps: jax.Array,
    size: tuple[int, int],
    scales: tuple[float, float],
    key: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Images with their maps of classes at random scales and places, mirrored or not.

    Args:
        images: `(batch, height, width, channels)`.
        maps: uint8 `(batch, height, width)`.
        size: Height and width of what is given.
        scales: Smallest and largest size of an image, 1 where all of it fits.
        key: Of what is random.

    Returns:
        Images and maps; outside of an image there is 0, and no class.
    """
    count, *whole = maps.shape
    keys = jax.random.split(key, 3)
    scaled = jnp.asarray(size) * jax.random.uniform(
        keys[0], (count, 1), minval=scales[0], maxval=scales[1]
    )
    room = scaled - jnp.asarray(size)
    corners = jnp.minimum(room, 0.0) + jnp.abs(room) * jax.random.uniform(keys[1], (count, 2))
    mirrored = jax.random.bernoulli(keys[2], shape=(count, 1, 1))
    images = jnp.where(mirrored[..., None], images[:, :, ::-1], images)
    maps = jnp.where(mirrored, maps[:, :, ::-1], maps)

    def image_of(image, scaled, corner):
        return jax.image.scale_and_translate(
            image, (*size, image.shape[-1]), (0, 1), scaled / jnp.asarray(whole), -corner, "linear"
        )

    def map_of(known, scaled, corner):
        rows, columns = (
            jnp.floor((jnp.arange(size[axis]) + 0.5 + corner[axis]) / scaled[axis] * whole[axis])
            for axis in (0, 1)
        )
        rows_inside, columns_inside = (
            (places >= 0) & (places < whole[axis]) for axis, places in enumerate((rows, columns))
        )
        taken = known[
            rows.clip(0, whole[0] - 1).astype(int)[:, None],
            columns.clip(0, whole[1] - 1).astype(int)[None],
        ]
        return jnp.where(rows_inside[:, None] & columns_inside, taken, VOID)

    return jax.vmap(image_of)(images, scaled, corners), jax.vmap(map_of)(maps, scaled, corners)
