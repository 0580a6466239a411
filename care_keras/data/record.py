"""How images become a model's input: one record per model, which every tool reads."""

import dataclasses
import math
import numbers
from collections.abc import Iterable, Sequence

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# RGB and grey.
IMAGE_CHANNELS = (3, 1)
# How an image fills the input: the centre of it, or the whole of it at another aspect.
FITS = ("crop", "stretch")
INTERPOLATIONS = ("bicubic", "bilinear", "nearest")
# Of a mean, and of 1 over a standard deviation: their product is still a float32.
_LARGEST = 1e15


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a model's input; the one record every tool reads.

    A model of one channel takes grey images: ITU-R 601 luma, as Pillow's mode
    `"L"`. The image is resized (aspect ratio kept) so that the centre crop takes
    `crop_ratio` of its short side, cropped, and normalized per channel as
    `(pixel / 255 - mean) / std`. Models that must see all of it, as detectors do,
    take the whole image stretched to the input's size instead.

    Attributes:
        height: Input height in pixels.
        width: Input width in pixels.
        mean: Per RGB channel, or one value of grey images, in units of full
            scale (pixel / 255).
        std: Likewise, in the same units.
        crop_ratio: Crop size over resized size, in (0, 1]; of no effect where the
            image is stretched.
        interpolation: `"bicubic"`, `"bilinear"` or `"nearest"`.
        fit: `"crop"`, or `"stretch"`: the whole image, its aspect ratio not kept.
    """

    height: int
    width: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    crop_ratio: float = 0.875
    interpolation: str = "bicubic"
    fit: str = "crop"

    def __post_init__(self):
        # Tuples also when read from JSON, so that records compare equal.
        for name in ("mean", "std"):
            object.__setattr__(self, name, _finite(name, getattr(self, name)))
        if not all(_is_whole(size) and size >= 1 for size in (self.height, self.width)):
            raise ValueError(
                "The image size must be positive, in whole pixels. "
                f"Received: height={self.height!r}, width={self.width!r}"
            )
        if self.channels not in IMAGE_CHANNELS or len(self.std) != self.channels:
            raise ValueError(
                "`mean` and `std` need three values each, or one of grey images. "
                f"Received: mean={self.mean[:4]}, std={self.std[:4]}"
            )
        if min(self.std) <= 1 / _LARGEST:
            raise ValueError(f"`std` must be above 0. Received: mean={self.mean}, std={self.std}")
        if not (isinstance(self.crop_ratio, numbers.Real) and 0.0 < self.crop_ratio <= 1.0):
            raise ValueError(
                f"`crop_ratio` must be in (0, 1]. Received: crop_ratio={self.crop_ratio!r}"
            )
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                "`interpolation` must be bicubic, bilinear or nearest. "
                f"Received: interpolation={self.interpolation!r}"
            )
        if self.fit not in FITS:
            raise ValueError(f"`fit` must be crop or stretch. Received: fit={self.fit!r}")

    @property
    def channels(self) -> int:
        """3 of RGB images, 1 of grey ones."""
        return len(self.mean)

    @classmethod
    def of_pixels(cls, height: int, width: int, channels: int = 3) -> "Preprocessing":
        """The record of a model that says nothing: pixels from 0 to 255 as they are.

        The whole image is resized by bilinear interpolation, as Keras's own loaders do
        (`image_dataset_from_directory`).
        """
        return cls(
            height, width, **_pixel_values(channels), interpolation="bilinear", fit="stretch"
        )

    def taking_pixels(self) -> "Preprocessing":
        """The record of a model that takes the pixels of such images as they are."""
        return dataclasses.replace(self, **_pixel_values(self.channels))

    def to_dict(self) -> dict:
        """As plain JSON types; without `fit` where it is `"crop"`, as before there was one."""
        fields = dataclasses.asdict(self) | {"mean": list(self.mean), "std": list(self.std)}
        if self.fit == "crop":
            del fields["fit"]
        return fields


def _finite(name, values):
    """Values of channels as floats."""
    numeric = isinstance(values, Iterable) and all(isinstance(x, numbers.Real) for x in values)
    try:
        found = tuple(float(value) for value in values) if numeric else (math.nan,)
    except OverflowError:
        found = (math.inf,)
    if not all(abs(value) < _LARGEST for value in found):
        text = repr(values)
        raise ValueError(
            f"`{name}` must be finite numbers, one for each channel. "
            f"Received: {name}={text if len(text) <= 100 else text[:97] + '...'}"
        )
    return found


def _is_whole(size):
    return isinstance(size, numbers.Integral) and not isinstance(size, bool)


def _pixel_values(channels):
    return {"mean": (0.0,) * channels, "std": (1 / 255,) * channels}


def image_places(shapes: Sequence[Sequence[int | None]]) -> list[int]:
    """Which of a model's inputs take images: `(batch, height, width, 3)`, or 1 for grey ones.

    Args:
        shapes: Of the inputs.

    Returns:
        Their places, RGB before grey: the first is the one that tools feed photos to.
    """
    return [
        place
        for channels in IMAGE_CHANNELS
        for place, shape in enumerate(shapes)
        if len(shape) == 4 and shape[-1] == channels
    ]


def check_channels(channels: int, *values: Sequence[float] | None) -> None:
    """Raises ValueError if a mean or std that is given is not for images of `channels`."""
    for given in values:
        if given is not None and len(given) != channels:
            kind, count = ("grey", "one value") if channels == 1 else ("RGB", "three values")
            raise ValueError(
                f"The model takes {kind} images: mean and std are {count} each. "
                f"Received: {','.join(f'{value:g}' for value in given)}"
            )
