"""How training images with boxes or maps of classes are augmented."""

import dataclasses

from care_keras.console.flag_values import parse_range
from care_keras.console.options import option
from care_keras.training.images.augmentation import Augmentation


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseAugmentation(Augmentation):
    """What is done to training images that have boxes or maps; `flip` and `color_jitter` too.

    Raises:
        ValueError: If a value is out of its range.
    """

    scale_range: tuple[float, float] = option(
        "LOW,HIGH: detection and segmentation: size of the image, 1 where all of it just fits the "
        "input; of a larger one a random part is taken, beside a smaller one is its mean colour.",
        (0.5, 2.0),
        parse=parse_range,
    )
    aspect_jitter: float = option(
        "Detection and segmentation: largest relative change of width / height.",
        0.0,
        low=0.0,
        high=1.0,
    )

    def __post_init__(self):
        super().__post_init__()
        low, high = self.scale_range
        for name, holds in (
            # Beyond, there is next to nothing of an image to be seen.
            ("scale_range", 0.01 <= low <= high <= 100.0),
            ("aspect_jitter", 0.0 <= self.aspect_jitter <= 1.0),
        ):
            if not holds:
                raise ValueError(
                    f"`{name}` is out of its range. Received: {name}={getattr(self, name)!r}"
                )
