"""How images become a model's input: one record per model, which every tool reads."""

import dataclasses

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a model's input; the one record every tool reads.

    The image is resized (aspect ratio kept) so that the centre crop takes
    `crop_ratio` of its short side, cropped, and normalized per channel as
    `(pixel / 255 - mean) / std`.

    Attributes:
        height: Input height in pixels.
        width: Input width in pixels.
        mean: Per RGB channel, in units of full scale (pixel / 255).
        std: Per RGB channel, in the same units.
        crop_ratio: Crop size over resized size, in (0, 1].
        interpolation: `"bicubic"`, `"bilinear"` or `"nearest"`.
    """

    height: int
    width: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    crop_ratio: float = 0.875
    interpolation: str = "bicubic"

    def __post_init__(self):
        # Tuples also when read from JSON, so that records compare equal.
        object.__setattr__(self, "mean", tuple(float(v) for v in self.mean))
        object.__setattr__(self, "std", tuple(float(v) for v in self.std))
        if self.height < 1 or self.width < 1:
            raise ValueError(
                "The image size must be positive. "
                f"Received: height={self.height}, width={self.width}"
            )
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(
                "`mean` and `std` need three values each, `std` above 0. "
                f"Received: mean={self.mean}, std={self.std}"
            )
        if not 0.0 < self.crop_ratio <= 1.0:
            raise ValueError(
                f"`crop_ratio` must be in (0, 1]. Received: crop_ratio={self.crop_ratio}"
            )
        if self.interpolation not in ("bicubic", "bilinear", "nearest"):
            raise ValueError(
                "`interpolation` must be bicubic, bilinear or nearest. "
                f"Received: interpolation={self.interpolation!r}"
            )

    def to_dict(self) -> dict:
        """As plain JSON types."""
        return dataclasses.asdict(self) | {"mean": list(self.mean), "std": list(self.std)}
