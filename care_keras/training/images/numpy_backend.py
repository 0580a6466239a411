"""What Keras's preprocessing layers ask of a backend, in NumPy: as far as augmentation needs it.

A layer computes with `layer.backend`, which Keras (3.15) cannot set to its own NumPy backend
while another one is in use. Names and arguments are those of `keras.src.backend`; images
are float32 with channels last.
"""

import types

import numpy as np

name = "numpy"
# Of its functions the layers use what NumPy has by the same name.
numpy = np


def shape(x: np.ndarray) -> tuple[int, ...]:
    """The shape of an array."""
    return np.shape(x)


def cast(x: np.ndarray, dtype: str) -> np.ndarray:
    """An array of a type; `x` itself where it is of that type."""
    return np.asarray(x).astype(dtype, copy=False)


def convert_to_tensor(x: object, dtype: str | None = None) -> np.ndarray:
    """An array."""
    return np.asarray(x, dtype)


def _uniform(shape, minval=0.0, maxval=1.0, dtype="float32", seed=None):
    return (minval + (maxval - minval) * seed.generator().random(shape)).astype(dtype)


def _randint(shape, minval, maxval, dtype="int32", seed=None):
    return seed.generator().integers(minval, maxval, shape).astype(dtype)


def _normal(shape, mean=0.0, stddev=1.0, dtype="float32", seed=None):
    return (mean + stddev * seed.generator().standard_normal(shape, np.float32)).astype(dtype)


def _beta(shape, alpha, beta, dtype="float32", seed=None):
    return seed.generator().beta(alpha, beta, shape).astype(dtype)


def _shuffle(x, axis=0, seed=None):
    return seed.generator().permutation(x, axis=axis)


def _rgb_to_grayscale(images, data_format=None):
    # The weights of TensorFlow's.
    return images @ np.asarray([[0.2989], [0.587], [0.114]], np.float32)


def _rgb_to_hsv(images, data_format=None):
    """Hue and saturation from 0 to 1, the value as it is."""
    red, green, blue = np.moveaxis(images, -1, 0)
    value = images.max(-1)
    spread = value - images.min(-1)
    coloured = spread > 0
    unit = 6.0 * np.where(coloured, spread, 1.0)
    hue = np.where(
        value == red,
        (green - blue) / unit,
        np.where(value == green, (blue - red) / unit + 1 / 3, (red - green) / unit + 2 / 3),
    )
    hue = np.where(coloured, hue + (hue < 0), 0.0)
    saturation = np.where(value > 0, spread / np.where(value > 0, value, 1.0), 0.0)
    return np.stack([hue, saturation, value], -1).astype(np.float32)


def _hsv_to_rgb(images, data_format=None):
    hue, saturation, value = np.moveaxis(images, -1, 0)
    sixth = hue * 6.0
    # How far red, green and blue are from the middles of their thirds of the circle.
    shares = np.stack(
        [
            np.abs(sixth - 3.0) - 1.0,
            2.0 - np.abs(sixth - 2.0),
            2.0 - np.abs(sixth - 4.0),
        ],
        -1,
    ).clip(0.0, 1.0)
    saturation = saturation[..., None]
    return (value[..., None] * (1.0 - saturation + saturation * shares)).astype(np.float32)


def _affine_transform(images, transform, interpolation="bilinear", fill_mode="constant"):
    """Bilinear, black outside: output (x, y) is input (a x + b y + c, d x + e y + f)."""
    if (interpolation, fill_mode) != ("bilinear", "constant"):
        raise ValueError(
            "Only bilinear interpolation with a constant outside is there. "
            f"Received: interpolation={interpolation!r}, fill_mode={fill_mode!r}"
        )
    count, height, width, channels = images.shape
    a, b, c, d, e, f = np.asarray(transform, np.float32).T[:6, :, None, None]
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    # One black pixel before the image and two behind it stand for all that is outside.
    padded = np.pad(images, ((0, 0), (1, 2), (1, 2), (0, 0)))
    x, y = (a * x + b * y + c).clip(-1, width), (d * x + e * y + f).clip(-1, height)
    left, top = np.floor(x), np.floor(y)
    right_share, low_share = (x - left)[..., None], (y - top)[..., None]
    pixels = padded.reshape(-1, channels)
    row = width + 3
    first = np.arange(count)[:, None, None] * (height + 3) * row
    first = first + (top.astype(np.int64) + 1) * row + left.astype(np.int64) + 1
    upper = pixels[first] * (1.0 - right_share) + pixels[first + 1] * right_share
    lower = pixels[first + row] * (1.0 - right_share) + pixels[first + row + 1] * right_share
    return upper * (1.0 - low_share) + lower * low_share


def _depthwise_conv(images, kernel, strides=1, padding="same", data_format=None):
    """With a kernel `(3, 3, channels, 1)`, black outside."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = images.shape[1:3]
    return sum(
        padded[:, row : row + height, column : column + width] * kernel[row, column, :, 0]
        for row in range(3)
        for column in range(3)
    )


core = types.SimpleNamespace(shape=shape)
random = types.SimpleNamespace(
    uniform=_uniform, randint=_randint, normal=_normal, beta=_beta, shuffle=_shuffle
)
image = types.SimpleNamespace(
    rgb_to_grayscale=_rgb_to_grayscale,
    rgb_to_hsv=_rgb_to_hsv,
    hsv_to_rgb=_hsv_to_rgb,
    affine_transform=_affine_transform,
)
nn = types.SimpleNamespace(depthwise_conv=_depthwise_conv)
