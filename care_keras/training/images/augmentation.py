"""How training images are augmented."""

import dataclasses

from care_keras.console.flag_values import parse_range
from care_keras.console.options import option

CROPS = ("none", "padded", "resized")
INTERPOLATIONS = ("bicubic", "bilinear", "nearest", "random")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is done to a training image; the defaults are flip and crop.

    Raises:
        ValueError: If a value is out of its range.
    """

    crop: str = option(
        "Random crops. resized: a random part of the photo, resized; padded: of the image as for "
        "evaluation, padded by reflection; none: as for evaluation.",
        "padded",
        choices=CROPS,
    )
    crop_scale: tuple[float, float] = option(
        "LOW,HIGH: share of the photo's area in a resized crop.", (0.08, 1.0), parse=parse_range
    )
    crop_ratio: tuple[float, float] = option(
        "LOW,HIGH: width / height of a resized crop.", (3 / 4, 4 / 3), parse=parse_range
    )
    crop_interpolation: str = option(
        "Of a resized crop; random: bilinear or bicubic, drawn for each image.",
        "bicubic",
        choices=INTERPOLATIONS,
    )
    flip: bool = option("Mirror half of the images.", True)
    rand_augment: float = option("Magnitude of RandAugment; 0: off.", 0.0, low=0.0, high=10.0)
    rand_augment_std: float = option("Standard deviation of that magnitude.", 0.5, low=0.0)
    rand_augment_ops: int = option("RandAugment's operations per image.", 2, low=1)
    color_jitter: float = option(
        "Largest relative change of brightness, contrast and saturation; nothing, as in timm, "
        "where RandAugment is on.",
        0.0,
        low=0.0,
        high=0.99,
    )
    random_erasing: float = option(
        "Share of images with a rectangle of noise in them.", 0.0, low=0.0, high=1.0
    )
    mixup: float = option("Alpha of mixup's Beta distribution; 0: off.", 0.0, low=0.0)
    cutmix: float = option("Alpha of CutMix's; 0: off.", 0.0, low=0.0, high=1.0)
    mix_switch: float = option(
        "Where both are on: share of groups of images with CutMix.", 0.5, low=0.0, high=1.0
    )
    # Pixels added on each side before a padded crop; no flag.
    padding: int = 4

    def __post_init__(self):
        low, high = self.crop_scale
        narrow, wide = self.crop_ratio
        for name, holds in (
            ("crop", self.crop in CROPS),
            ("padding", self.padding >= 0),
            ("crop_scale", 0.0 < low <= high <= 1.0),
            ("crop_ratio", 0.0 < narrow <= wide),
            ("crop_interpolation", self.crop_interpolation in INTERPOLATIONS),
            ("rand_augment", 0.0 <= self.rand_augment <= 10.0),
            ("rand_augment_std", self.rand_augment_std >= 0.0),
            ("rand_augment_ops", self.rand_augment_ops >= 1),
            ("color_jitter", 0.0 <= self.color_jitter < 1.0),
            ("random_erasing", 0.0 <= self.random_erasing <= 1.0),
            ("mixup", self.mixup >= 0.0),
            ("cutmix", 0.0 <= self.cutmix <= 1.0),
            ("mix_switch", 0.0 <= self.mix_switch <= 1.0),
        ):
            if not holds:
                raise ValueError(
                    f"`{name}` is out of its range. Received: {name}={getattr(self, name)!r}"
                )
