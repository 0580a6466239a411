"""Anchors: the boxes that a detector's outputs are corrections of."""

import dataclasses
from collections.abc import Sequence

import numpy as np

# A location is divided by these: offsets by 10, logarithms of sizes by 5. The four share one range
# in int8, and offsets want finer steps. As in SSD (arXiv 1512.02325) and in MediaPipe's detectors.
LOCATION_SCALES = (10.0, 10.0, 5.0, 5.0)

# Of a description in a file: more values than this, or coarser levels, mean nothing.
_MOST, _COARSEST = 16, 12


@dataclasses.dataclass(frozen=True)
class Anchors:
    """Boxes at every pixel of a pyramid's levels.

    One square a pixel is the default: with samples chosen as `assignment` does, more of them bring
    nothing (arXiv 1912.02424, section 4.4), and they would multiply the outputs.

    Attributes:
        levels: Of the pyramid, the finest first; level 3 has a stride of 8 pixels.
        scales: Sides of a square anchor in strides of its level.
        aspect_ratios: Height over width; the area stays.
    """

    levels: tuple[int, ...]
    scales: tuple[float, ...] = (4.0,)
    aspect_ratios: tuple[float, ...] = (1.0,)

    def __post_init__(self):
        for name in ("levels", "scales", "aspect_ratios"):
            values = tuple(getattr(self, name))
            object.__setattr__(self, name, values)
            if not values or min(values) <= 0:
                raise ValueError(f"`{name}` must be positive numbers. Received: {name}={values}")
        if self.levels != tuple(range(self.levels[0], self.levels[0] + len(self.levels))):
            raise ValueError(f"`levels` must follow one another. Received: levels={self.levels}")

    @property
    def per_pixel(self) -> int:
        """Anchors at one pixel of a level."""
        return len(self.scales) * len(self.aspect_ratios)

    def map_sizes(self, image_size: Sequence[int]) -> list[tuple[int, int]]:
        """Height and width of each level's map for an image of `(height, width)` pixels."""
        return [tuple(-(-side // 2**level) for side in image_size) for level in self.levels]

    def counts(self, image_size: Sequence[int]) -> list[int]:
        """Number of anchors of each level."""
        return [height * width * self.per_pixel for height, width in self.map_sizes(image_size)]

    def boxes(self, image_size: Sequence[int]) -> np.ndarray:
        """All anchors, in the order of the outputs: by level, row, column, scale and ratio.

        Args:
            image_size: `(height, width)` in pixels.

        Returns:
            float32 of shape `(anchors, 4)`: centre y, centre x, height, width, in pixels.
        """
        found = []
        for level, (rows, columns) in zip(self.levels, self.map_sizes(image_size), strict=True):
            stride = 2.0**level
            y, x = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
            centres = (np.stack([y, x], -1).reshape(-1, 1, 2) + 0.5) * stride
            root = np.sqrt(self.aspect_ratios)
            sizes = np.stack(
                [np.outer(self.scales, root), np.outer(self.scales, 1.0 / root)], -1
            ).reshape(1, -1, 2)
            of_level = np.broadcast_arrays(centres, stride * sizes)
            found.append(np.concatenate(of_level, -1).reshape(-1, 4))
        return np.concatenate(found).astype(np.float32)

    @classmethod
    def from_dict(cls, described) -> "Anchors":
        """Of what `to_dict` gives, as it may stand in a file.

        Raises:
            ValueError: If it is none.
        """
        fields = [field.name for field in dataclasses.fields(cls)]
        try:
            given = {name: tuple(described[name]) for name in fields}
        except (KeyError, TypeError) as error:
            raise ValueError(f"No description of anchors. Received: {described!r}") from error
        values = [value for one in given.values() for value in one]
        small = all(len(one) <= _MOST for one in given.values())
        if not small or not all(type(value) in (int, float) for value in values):
            raise ValueError(f"No description of anchors. Received: {described!r}")
        if any(type(level) is not int or level > _COARSEST for level in given["levels"]):
            raise ValueError(f"No levels of a pyramid. Received: levels={given['levels']}")
        return cls(**given)

    def to_dict(self) -> dict:
        """As plain JSON types."""
        return {key: list(values) for key, values in dataclasses.asdict(self).items()}
