"""The images of the example that trains on CPU cores: its augmentation, and pieces of photos."""

import keras
import numpy as np
import pytest

from care_keras.data.sources import Source

if keras.backend.backend() != "torch":
    pytest.skip("The example trains with KERAS_BACKEND=torch", allow_module_level=True)

import torch

from examples.on_cpu import augmentation, pieces


def generator():
    return torch.Generator().manual_seed(0)


def test_crops_are_parts_of_their_images():
    # Each pixel says of which image it is; rows and columns rise by one.
    rows, columns = np.mgrid[:32, :32]
    image = np.stack([np.zeros_like(rows), rows, columns])
    images = np.stack([image + np.array([index, 0, 0])[:, None, None] for index in range(64)])
    crops = augmentation.cropped(torch.from_numpy(images), generator()).numpy().astype(int)
    assert (crops[:, 0] == np.arange(64)[:, None, None]).all()
    middle = crops[:, :, 8:24, 8:24]
    assert (np.diff(middle[:, 1], axis=1) == 1).all()
    steps = np.diff(middle[:, 2], axis=2)
    assert set(steps[:, 0, 0]) == {1, -1}
    assert (steps == steps[:, :1, :1]).all()


def test_erased_images_have_at_most_a_square_of_the_colour():
    colour = torch.tensor([7.0, 8.0, 9.0])
    images = augmentation.erased(torch.ones(64, 3, 32, 32), colour, generator()).numpy()
    gone = (images == colour.numpy()[:, None, None]).all(1)
    assert gone.any() and not gone.all(axis=(1, 2)).any()
    assert gone.sum((1, 2)).max() <= 17**2
    assert (images == 1).all(1)[~gone].all()


def test_half_of_the_images_are_mixed():
    images = torch.arange(64.0).view(64, 1, 1, 1).expand(64, 3, 2, 2)
    found = augmentation.mixed(images, generator())[:, 0, 0, 0].numpy()
    own, other = np.arange(64.0), np.arange(64.0)[::-1]
    assert (np.minimum(own, other) <= found).all() and (found <= np.maximum(own, other)).all()
    assert 16 < (found == own).sum() < 48


def ramps(count):
    """Rows rise in the first channel, columns in the second; the third is the image's number."""
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    numbers = torch.arange(float(count)).view(-1, 1, 1).expand(-1, 32, 32)
    return torch.stack([rows.expand(count, 32, 32), columns.expand(count, 32, 32), numbers], 1)


def test_zoomed_images_are_parts_of_their_images():
    images = ramps(256)
    found = augmentation.zoomed(images, generator())
    torch.testing.assert_close(found[:, 2], images[:, 2])
    for channel, axis in ((0, 1), (1, 2)):
        # Within the image, evenly spaced, and no larger than it was.
        assert found[:, channel].min() >= 0 and found[:, channel].max() <= 31
        steps = found[:, channel].diff(dim=axis)[:, 2:-2, 2:-2]
        sides = steps.mean((1, 2))
        assert steps.std((1, 2)).max() < 1e-4
        assert 0.5 < sides.min() < 0.6 and 0.97 < sides.max() <= 1.0001
    area = found[:, 0].diff(dim=1)[:, 16, 16] * found[:, 1].diff(dim=2)[:, 16, 16]
    assert 0.3 < area.min() < 0.4 and area.max() > 0.9
    # A centre that is anywhere where the part still fits.
    corners = torch.stack([found[:, 0, 0, 0], found[:, 1, 0, 0]])
    assert corners.min() < 0.2 and corners.max() > 10


def test_coloured_images_differ_in_colour_alone():
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.uniform(100, 150, (64, 3, 32, 32)).astype(np.float32))
    found = augmentation.coloured(images, generator())
    ratio = found.mean((1, 2, 3)) / images.mean((1, 2, 3))
    assert 0.6 < ratio.min() < 0.75 and 1.25 < ratio.max() < 1.4
    grey, changed = images.mean(1), found.mean(1)
    grey, changed = (x - x.mean((1, 2), keepdim=True) for x in (grey, changed))
    # What is brighter stays brighter.
    for before, after in zip(grey, changed, strict=True):
        assert torch.corrcoef(torch.stack([before.ravel(), after.ravel()]))[0, 1] > 0.999
    assert found.min() >= 0 and found.max() <= 255


def test_pasted_images_have_a_rectangle_of_another():
    images = ramps(64)
    found = augmentation.pasted(images, generator())
    torch.testing.assert_close(found[:, :2], images[:, :2])
    other = found[:, 2] != images[:, 2]
    torch.testing.assert_close(found[:, 2][other], images.flip(0)[:, 2][other])
    assert 0 < other.float().mean((1, 2)).min() < 0.1 and other.float().mean((1, 2)).max() > 0.6


def test_some_of_the_images_are_changed():
    images, changed = torch.zeros(1000, 1, 2, 2), torch.ones(1000, 1, 2, 2)
    found = augmentation.some(0.3, changed, images, generator())
    assert (found == found[:, :, :1, :1]).all()
    assert 250 < found[:, 0, 0, 0].sum() < 350


def test_pieces_are_reduced_parts_of_photos():
    rows, columns = np.mgrid[:160, :240]
    photos = [np.stack([rows, columns, np.full_like(rows, n)], -1).astype(np.uint8) for n in (7, 9)]
    source = Source("photos", 2, photos.__getitem__, None, None, ("a.png", "b.png"))
    found = pieces.cut(source, 32, 50)
    assert found.shape == (100, 32, 32, 3) and found.dtype == np.uint8
    assert (found[:50, ..., 2] == 7).all() and (found[50:, ..., 2] == 9).all()
    sides = found[..., 0].max((1, 2)).astype(int) - found[..., 0].min((1, 2))
    across = found[..., 1].max((1, 2)).astype(int) - found[..., 1].min((1, 2))
    # Squares, of 0.3 to 1 of the shorter side.
    assert abs(sides - across).max() <= 2
    assert 45 <= sides.min() < 60 and 140 < sides.max() < 160
    np.testing.assert_array_equal(found, pieces.cut(source, 32, 50))


def test_a_photo_smaller_than_a_piece_is_refused():
    read = [np.zeros((20, 40, 3), np.uint8)].__getitem__
    source = Source("photos", 1, read, None, None, ("small.png",))
    with pytest.raises(ValueError, match="at least 32 pixels.*Received: small.png of 40x20"):
        pieces.cut(source, 32, 1)
