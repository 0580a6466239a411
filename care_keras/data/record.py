"""How images become a model's input: one record per model, which every tool reads."""

import dataclasses
from collections.abc import Sequence

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# RGB and grey.
IMAGE_CHANNELS = (3, 1)
# How an image fills the input: the centre of it, or the whole of it at another aspect.
FITS = ("crop", "stretch")


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
        object.__setattr__(self, "mean", tuple(float(v) for v in self.mean))
        object.__setattr__(self, "std", tuple(float(v) for v in self.std))
        if self.height < 1 or self.width < 1:
            raise ValueError(
                "The image size must be positive. "
                f"Received: height={self.height}, width={self.width}"
            )
        if self.channels not in IMAGE_CHANNELS or len(self.std) != self.channels:
            raise ValueError(
                "`mean` and `std` need three values each, or one of grey images. "
                f"Received: mean={self.mean}, std={self.std}"
            )
        if min(self.std) <= 0:
            raise ValueError(f"`std` must be above 0. Received: mean={self.mean}, std={self.std}")
        if not 0.0 < self.crop_ratio <= 1.0:
            raise ValueError(
                f"`crop_ratio` must be in (0, 1]. Received: crop_ratio={self.crop_ratio}"
            )
        if self.interpolation not in ("bicubic", "bilinear", "nearest"):
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
        """The record of a model that takes pixels from 0 to 255 as they are."""
        return cls(height, width, **_pixel_values(channels))

    def taking_pixels(self) -> "Preprocessing":
        """The record of a model that takes the pixels of such images as they are."""
        return dataclasses.replace(self, **_pixel_values(self.channels))

    def to_dict(self) -> dict:
        """As plain JSON types; without `fit` where it is `"crop"`, as before there was one."""
        fields = dataclasses.asdict(self) | {"mean": list(self.mean), "std": list(self.std)}
        if self.fit == "crop":
            del fields["fit"]
        return fields


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
