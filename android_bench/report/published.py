"""Figures that were published, to stand beside those of a run as reference points."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class PublishedPoint:
    """A model on a phone.

    Attributes:
        name: The model.
        latency_ms: Of one inference.
        top1: Share of ImageNet's validation images.
    """

    name: str
    latency_ms: float
    top1: float


# Source: arXiv 2411.16170 (CARE Transformer), as published: iPhone 13, ImageNet top-1.
IPHONE_13 = (
    PublishedPoint("CARE-S0", 1.1, 0.784),
    PublishedPoint("CARE-S1", 1.4, 0.801),
    PublishedPoint("CARE-S2", 2.0, 0.821),
    PublishedPoint("MLLA-T", 5.1, 0.835),
)
IPHONE_13_SOURCE = "arXiv 2411.16170: iPhone 13, ImageNet"
