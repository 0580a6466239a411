"""Which attention is measured, and at which sizes of image."""

import dataclasses
from collections.abc import Sequence

from care_keras.models.config import CAREConfig

KINDS = ("linear", "softmax")


@dataclasses.dataclass(frozen=True)
class AttentionShape:
    """The attention of one stage of a model.

    Attributes:
        channels: Its width, a quarter of the stage's.
        head_dim: Channels of one head.
        stride: Pixels of the image that a side of one token covers.
    """

    channels: int
    head_dim: int
    stride: int


def attention_shape(config: CAREConfig, stage: int) -> AttentionShape:
    """The attention of a stage, counted from 1.

    Raises:
        ValueError: If the stage is none, or has no attention.
    """
    having = [i + 1 for i, size in enumerate(config.head_dims) if size is not None]
    if stage not in having:
        raise ValueError(
            f"Attention is in the stages {', '.join(map(str, having))} of {config.name}. "
            f"Received: stage={stage}"
        )
    index = stage - 1
    return AttentionShape(
        channels=config.channels[index] // 4,
        head_dim=config.head_dims[index],
        stride=config.stem_stride * 2**index,
    )


def parse_sides(values: Sequence[str], config: CAREConfig, shape: AttentionShape) -> list[int]:
    """Sides of images in pixels, the smallest first, each of another number of tokens.

    Raises:
        ValueError: If one is no number or too small for the model, or there are
            no two numbers of tokens.
    """
    given = ",".join(values)
    if not all(value.strip().isdecimal() for value in values):
        raise ValueError(f"--size must be sides in pixels, 224,448. Received: {given}")
    sides = sorted({int(value) for value in values})
    # Of the whole model, whose work stands beside its attention's.
    smallest = config.stem_stride * 2 ** (len(config.depths) - 1)
    if sides and sides[0] < smallest:
        raise ValueError(
            f"{config.name} needs at least {smallest} pixels. Received: --size={sides[0]}"
        )
    if len({side // shape.stride for side in sides}) < max(2, len(sides)):
        raise ValueError(
            f"--size needs two or more sides that differ by a token, {shape.stride} pixels. "
            f"Received: {given}"
        )
    return sides
