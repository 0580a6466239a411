"""Augmentation of whole batches of pixels in PyTorch; `(batch, 3, size, size)`, 0 to 255."""

import torch
from torch.nn import functional

# Pixels around an image before a crop of its own size.
_PADDING = 4
# Largest side of an erased square, in parts of the image.
_ERASED = 0.5


def cropped(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Crops of reflected surroundings, of the images' own size, mirrored or not."""
    count, size = len(images), images.shape[-1]
    padded = functional.pad(images.float(), (_PADDING,) * 4, mode="reflect")
    steps = torch.arange(size)
    y, x = (
        torch.randint(0, 2 * _PADDING + 1, (count, 1), generator=generator) + steps
        for _ in range(2)
    )
    # A mirrored image is read from its right.
    x = torch.where(torch.rand(count, 1, generator=generator) < 0.5, x.flip(1), x)
    rows = torch.arange(count)[:, None, None]
    return padded[rows, :, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)


def erased(images: torch.Tensor, colour: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Images with a square of one colour somewhere."""
    count, size = len(images), images.shape[-1]
    steps = torch.arange(size)
    centres = torch.rand(count, 2, generator=generator) * size
    half = torch.rand(count, 1, generator=generator) * (_ERASED * size / 2)
    down, across = ((steps - centres[:, axis, None]).abs() < half for axis in range(2))
    inside = down[:, :, None] & across[:, None, :]
    return torch.where(inside[:, None], colour.view(3, 1, 1), images)


def mixed(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Half of the images, mixed with another by any share."""
    shape = (len(images), 1, 1, 1)
    share = torch.rand(shape, generator=generator)
    share = torch.where(torch.rand(shape, generator=generator) < 0.5, share, torch.ones(()))
    return share * images + (1.0 - share) * images.flip(0)
