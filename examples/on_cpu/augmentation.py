"""Augmentation of whole batches of pixels in PyTorch; `(batch, 3, size, size)`, 0 to 255."""

import math

import torch
from torch.nn import functional

# Pixels around an image before a crop of its own size.
_PADDING = 4
# Largest side of an erased square, in parts of the image.
_ERASED = 0.5
# Smallest part of an image that is enlarged to all of it, and how far its sides may differ.
_AREA, _ASPECT = 0.35, 4 / 3
# Largest change of brightness, contrast and saturation, in parts of them.
_COLOUR = 0.35


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
    centres = torch.rand(count, 2, generator=generator) * size
    half = torch.rand(count, 1, generator=generator) * (_ERASED * size / 2)
    return torch.where(_squares(centres, half, size), colour.view(3, 1, 1), images)


def mixed(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Half of the images, mixed with another by any share."""
    shape = (len(images), 1, 1, 1)
    share = torch.rand(shape, generator=generator)
    share = torch.where(torch.rand(shape, generator=generator) < 0.5, share, torch.ones(()))
    return share * images + (1.0 - share) * images.flip(0)


def zoomed(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Parts of any place, area and aspect, enlarged to the images' own size."""
    count = len(images)
    area, shape, *places = torch.rand(4, count, generator=generator)
    side = (_AREA + (1.0 - _AREA) * area).sqrt()
    aspect = (math.log(_ASPECT) * (shape - 0.5)).exp()
    sides = [(side * aspect).clamp(max=1.0), (side / aspect).clamp(max=1.0)]
    # In the coordinates of `affine_grid`, an image reaches from -1 to 1.
    moves = [(2.0 * place - 1.0) * (1.0 - part) for place, part in zip(places, sides, strict=True)]
    zero = torch.zeros(count)
    rows = [
        torch.stack([sides[0], zero, moves[0]], 1),
        torch.stack([zero, sides[1], moves[1]], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(
        images.float(), grid, padding_mode="reflection", align_corners=False
    )


def coloured(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Images of another brightness, contrast and saturation."""
    changes = 1.0 + _COLOUR * (2.0 * torch.rand(3, len(images), generator=generator) - 1.0)
    brightness, contrast, saturation = changes[:, :, None, None, None]
    images = images * brightness
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + contrast * (images - mean)
    grey = images.mean(1, keepdim=True)
    return (grey + saturation * (images - grey)).clamp(0.0, 255.0)


def pasted(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Images with a rectangle of another one in its place: CutMix, arXiv 1905.04899."""
    count, size = len(images), images.shape[-1]
    half = torch.rand(count, 1, generator=generator).sqrt() * (size / 2)
    centres = torch.rand(count, 2, generator=generator) * size
    return torch.where(_squares(centres, half, size), images.flip(0), images)


def _squares(centres, half, size):
    """`(batch, 1, size, size)`: where a square of each image is, as far as it lies in it."""
    steps = torch.arange(size)
    down, across = ((steps - centres[:, axis, None]).abs() < half for axis in range(2))
    return (down[:, :, None] & across[:, None, :])[:, None]


def some(
    share: float, changed: torch.Tensor, images: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """A share of the images, at random, as they are changed, the others as they are."""
    chosen = torch.rand(len(images), 1, 1, 1, generator=generator) < share
    return torch.where(chosen, changed, images)
