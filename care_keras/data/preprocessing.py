"""The one way an image becomes a model's input: training, conversion, evaluation, phones.

Pillow resizes, with antialiasing, as the pipeline that the published weights
were evaluated with does.
"""

import io
import math
import os
import warnings

import numpy as np
from PIL import Image

from care_keras.data.record import Preprocessing
from care_keras.data.upright import turn_of
from care_keras.files import first_line

# Of a resized image, 256 MiB in Pillow: a strip a thousand times as long as high meets it.
_MOST_PIXELS = 2**26

_RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}

# Pillow warns of what it reads around, such as a damaged tag beside the pixels.
warnings.filterwarnings("ignore", module=r"PIL\.", append=True)


def decode_image(source: str | os.PathLike | bytes) -> np.ndarray:
    """Decodes an encoded image, upright as its EXIF orientation says.

    Transparency is dropped, 16-bit greyscale scaled to 8 bits; of an animation the first
    picture is taken.

    Args:
        source: A path, or the encoded bytes.

    Returns:
        uint8 RGB array of shape `(height, width, 3)`.

    Raises:
        ValueError: If it cannot be decoded as an image, or holds numbers of which nothing
            says what white is.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    name = f"{len(source)} bytes" if isinstance(source, bytes) else os.fspath(source)
    try:
        with Image.open(stream) as image:
            _check_size(*image.size)
            # Of a TIFF it turns the pixels, and forgets the orientation, as they are loaded.
            image.load()
            turn = turn_of(image)
            image = _in_8_bits(image)
            return np.asarray(image if turn is None else image.transpose(turn))
    # Pillow's decoders raise whatever the damaged part leads to.
    except Exception as error:
        reason = first_line(error)
        raise ValueError(f"Cannot decode the image. Received: {name} ({reason})") from error


def _check_size(width: int, height: int) -> None:
    """Refuses what Pillow itself only warns of: 89 million pixels, which take 1 GB on the way."""
    if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
        raise ValueError(f"{width} x {height} pixels are more than Image.MAX_IMAGE_PIXELS")


def _in_8_bits(image: Image.Image) -> Image.Image:
    """RGB of 8 bits; Pillow's own conversion of wider greys clips them at 255."""
    # Netpbm's files are of 16 bits where Pillow holds them in 32.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("nothing says which of its 32-bit numbers is white")
    return image.convert("RGB")


def resize_and_crop(image: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Resizes an image and cuts the centre out, as uint8 pixels.

    The aspect ratio is kept: the image is scaled until `crop_ratio` of it
    covers the input size, and the centre of the input size is taken. Where the
    record says `"stretch"`, all of the image is resized to the input size.

    Args:
        image: uint8 RGB array of shape `(any height, any width, 3)`.
        preprocessing: The model's record.

    Returns:
        uint8 array of shape `(preprocessing.height, preprocessing.width, 3)`, or 1
        channel where the model takes grey images.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(
            "`image` must be uint8 of shape (height, width, 3). "
            f"Received: dtype={image.dtype}, shape={image.shape}"
        )
    image = in_channels(image, preprocessing.channels)
    if preprocessing.fit == "stretch":
        size = preprocessing.height, preprocessing.width
        return resize(image, size, preprocessing.interpolation)
    height, width = image.shape[:2]
    crop_height, crop_width = preprocessing.height, preprocessing.width
    target_height = math.floor(crop_height / preprocessing.crop_ratio)
    target_width = math.floor(crop_width / preprocessing.crop_ratio)
    # The side that needs the larger scale is met exactly, the other rounded down.
    if target_height * width >= target_width * height:
        resized = (max(crop_width, target_height * width // height), target_height)
    else:
        resized = (target_width, max(crop_height, target_width * height // width))
    if math.prod(resized) > _MOST_PIXELS:
        raise ValueError(
            f"The image would become {resized[0]} x {resized[1]} pixels before its centre is cut "
            f"out. Received: {width} x {height} pixels, crop_ratio={preprocessing.crop_ratio:g}"
        )
    image = resize(image, resized[::-1], preprocessing.interpolation)
    top = round((image.shape[0] - crop_height) / 2)
    left = round((image.shape[1] - crop_width) / 2)
    return image[top : top + crop_height, left : left + crop_width]


def in_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """A uint8 RGB image `(height, width, 3)` as it is, or grey `(height, width, 1)`.

    Grey is ITU-R 601 luma, 0.299 R + 0.587 G + 0.114 B, as Pillow rounds it; where
    the three are equal it is their value.
    """
    if channels == image.shape[-1]:
        return image
    return np.asarray(Image.fromarray(image).convert("L"))[..., None]


def resize(
    image: np.ndarray,
    size: tuple[int, int],
    interpolation: str,
    box: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
    """Resizes an image, antialiased unless it is done by `"nearest"`.

    Args:
        image: uint8 `(height, width, 3)`, or 1 of a grey one.
        size: Height and width in pixels.
        interpolation: `"bicubic"`, `"bilinear"` or `"nearest"`.
        box: The part of the image that is resized, top, left, bottom and right in
            pixels; all of it if `None`.
    """
    if image.shape[:2] == tuple(size) and box in (None, (0, 0, *size)):
        return image
    resampling = _RESAMPLING[interpolation]
    # Pillow's grey images have no axis of channels.
    flat = image[..., 0] if image.shape[-1] == 1 else image
    part = None if box is None else (box[1], box[0], box[3], box[2])
    resized = np.asarray(Image.fromarray(flat).resize(size[::-1], resampling, part))
    return resized.reshape(*size, image.shape[-1])


def normalize(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Maps uint8 pixels to the float32 input: `(pixel / 255 - mean) / std`.

    Args:
        pixels: uint8 array of shape `(..., 3)`, or 1 of grey images.
        preprocessing: The model's record.
    """
    scale, offset = normalization(preprocessing)
    return pixels.astype(np.float32) * scale + offset


def pixel_affine(preprocessing: Preprocessing) -> tuple[np.ndarray, np.ndarray]:
    """`normalize` as float64 `(scale, offset)` per channel: `pixel * scale + offset`."""
    std = np.asarray(preprocessing.std, np.float64)
    mean = np.asarray(preprocessing.mean, np.float64)
    return 1.0 / (255.0 * std), -mean / std


def normalization(preprocessing: Preprocessing) -> tuple[np.ndarray, np.ndarray]:
    """`pixel_affine` in float32, as images are prepared with."""
    scale, offset = pixel_affine(preprocessing)
    return scale.astype(np.float32), offset.astype(np.float32)


def prepare(image: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """`resize_and_crop`, then `normalize`: one image to one float32 input."""
    return normalize(resize_and_crop(image, preprocessing), preprocessing)
