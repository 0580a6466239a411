"""Figures that were published, to stand beside those of a run as reference points."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class PublishedPoint:
    """A model on a phone.

    Attributes:
        family: What its name begins with.
        name: The model.
        latency_ms: Of one inference.
        top1: Share of ImageNet's validation images; of a network taught by another.
    """

    family: str
    name: str
    latency_ms: float
    top1: float


# All with distillation, by Core ML: CARE's as in arXiv 2411.16170, its peers' as in tables 3 and 4
# of iFormer (ICLR 2025).
IPHONE_13 = (
    PublishedPoint("CARE", "CARE-S0", 1.1, 0.784),
    PublishedPoint("CARE", "CARE-S1", 1.4, 0.801),
    PublishedPoint("CARE", "CARE-S2", 2.0, 0.821),
    PublishedPoint("RepViT", "RepViT-M1.0", 0.85, 0.800),
    PublishedPoint("RepViT", "RepViT-M1.1", 1.04, 0.807),
    PublishedPoint("RepViT", "RepViT-M1.5", 1.54, 0.823),
    PublishedPoint("iFormer", "iFormer-M", 1.10, 0.811),
    PublishedPoint("iFormer", "iFormer-L", 1.60, 0.827),
)
IPHONE_13_SOURCE = "CARE, arXiv 2411.16170, and iFormer, ICLR 2025: iPhone 13, ImageNet, distilled"
