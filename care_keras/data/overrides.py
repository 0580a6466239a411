"""What the user says of how images are prepared."""

import dataclasses

# Fields of `Preprocessing` that say how an image is resized and cropped, but its size.
GEOMETRY = ("interpolation", "crop_ratio", "fit")


@dataclasses.dataclass(frozen=True)
class InputOverrides:
    """What the user says of the input, before all else; `None` is what is not said.

    Attributes:
        size: `(height, width)` in pixels.
        mean: Per RGB channel, or one value of grey images, in units of full scale
            (pixel / 255).
        std: Likewise, in the same units.
        interpolation: `"bicubic"`, `"bilinear"` or `"nearest"`.
        crop_ratio: Crop size over resized size, in (0, 1].
        fit: `"crop"` or `"stretch"`.
    """

    size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: str | None = None
    crop_ratio: float | None = None
    fit: str | None = None

    def geometry(self) -> dict:
        """What was said of resizing and cropping, as fields of `Preprocessing`."""
        fields = {name: getattr(self, name) for name in GEOMETRY}
        if self.crop_ratio is not None and self.fit is None:
            fields["fit"] = "crop"
        return {name: value for name, value in fields.items() if value is not None}

    def normalization(self) -> dict:
        """What was said of mean and std, as fields of `Preprocessing`."""
        return {
            name: value
            for name, value in (("mean", self.mean), ("std", self.std))
            if value is not None
        }
