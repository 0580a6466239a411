"""What the image converter of a KerasHub task says of how images are prepared.

A task holds it in its `preprocessor`, outside of the graph. It resizes photos, multiplies pixels
from 0 to 255 by `scale` and adds `offset` (keras_hub/src/layers/preprocessing/image_converter.py).
Its attributes say how, so that KerasHub itself is not imported.
"""

import keras
import numpy as np

from care_keras.data.record import INTERPOLATIONS, Preprocessing

_NEEDED = ("image_size", "scale", "offset", "interpolation", "crop_to_aspect_ratio")


def image_converter(model: keras.Model) -> keras.layers.Layer | None:
    """The image converter of a task, `None` of any other model."""
    converter = getattr(getattr(model, "preprocessor", None), "image_converter", None)
    return converter if all(hasattr(converter, name) for name in _NEEDED) else None


def converter_record(
    converter: keras.layers.Layer, size: tuple[int, int], channels: int, lines: list[str]
) -> Preprocessing:
    """The record of what an image converter does.

    Args:
        converter: See `image_converter`.
        size: Height and width of the model's images in pixels.
        channels: Of its images.
        lines: What a record cannot say is added here, for the user.

    Raises:
        ValueError: If scale or offset is not of those channels, or scale not above 0.
    """
    scale = _per_channel("scale", converter.scale, 1.0, channels)
    offset = _per_channel("offset", converter.offset, 0.0, channels)
    if scale.min() <= 0.0:
        raise ValueError(
            "The scale of the model's image converter must be above 0. "
            f"Received: scale={converter.scale!r}"
        )
    interpolation = converter.interpolation
    if interpolation not in INTERPOLATIONS:
        lines.append(f"the model's image converter resizes by {interpolation}; here it is bicubic")
        interpolation = "bicubic"
    if getattr(converter, "pad_to_aspect_ratio", False):
        lines.append("the model's image converter pads photos; here they are stretched")
    return Preprocessing(
        *size,
        # Without an offset 0, where its negative would be told as "-0".
        mean=tuple(0.0 - offset / (255.0 * scale)),
        std=tuple(1.0 / (255.0 * scale)),
        crop_ratio=1.0,
        interpolation=interpolation,
        fit="crop" if converter.crop_to_aspect_ratio else "stretch",
    )


def _per_channel(name, values, nothing, channels):
    values = np.ravel(np.asarray(nothing if values is None else values, np.float64))
    if len(values) not in (1, channels):
        raise ValueError(
            f"The {name} of the model's image converter must be one number, or one for each "
            f"channel. Received: {name}={values.tolist()[:4]} for {channels}"
        )
    return np.broadcast_to(values, channels)
