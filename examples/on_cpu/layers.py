"""What both networks are made of."""

import torch
from torch import nn
from torch.nn import functional


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution that is trained in float32, whatever the rest computes in.

    Products of matrices are twice as fast in bfloat16 on a CPU that has them (AVX512_BF16);
    gradients of depthwise convolutions are slower, and with them the whole of a network:
    195 images a second of an EfficientNet-Lite0 at 64x64 against 272 in float32, and 374 like this.

    Args:
        channels: Of input and output.
        kernel_size: Height and width.
        stride: In both directions; of a stride above 1 the caller pads.
        bias: Whether there is one.
    """

    def __init__(
        self, channels: int, kernel_size: tuple[int, int], stride: int = 1, bias: bool = True
    ):
        padding = tuple(size // 2 for size in kernel_size) if stride == 1 else 0
        super().__init__(
            channels, channels, kernel_size, stride, padding, groups=channels, bias=bias
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """`(batch, channels, height, width)` to the same, or smaller by the stride."""
        if not self.training:
            return super().forward(inputs)
        with torch.autocast("cpu", enabled=False):
            return super().forward(inputs.float())


def skipped(branch: torch.Tensor, rate: float) -> torch.Tensor:
    """Stochastic depth: 0 for some images, what the others have is scaled up for it."""
    if not rate:
        return branch
    kept = torch.rand(len(branch), 1, 1, 1) >= rate
    return branch * kept.to(branch.dtype) / (1.0 - rate)


def resized(images: torch.Tensor, size: int) -> torch.Tensor:
    """`(batch, 3, height, width)` to squares, bicubic."""
    if images.shape[-2:] == (size, size):
        return images
    return functional.interpolate(images, (size, size), mode="bicubic", align_corners=False)


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """The same numbers in the order that convolutions on a CPU are fastest in."""
    return x.contiguous(memory_format=torch.channels_last)
