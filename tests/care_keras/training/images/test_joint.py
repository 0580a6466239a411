"""Images, boxes and maps of classes stay on one another, wherever they come to lie."""

import numpy as np
import pytest

from care_keras.data.preprocessing import resize_and_crop
from care_keras.data.record import Preprocessing
from care_keras.data.segmentation import VOID
from care_keras.data.sources import open_source
from care_keras.training.images.dense_augmentation import DenseAugmentation
from care_keras.training.images.joint import (
    MIN_VISIBLE,
    Placement,
    mean_color,
    random_placement,
)

STRETCHED = Preprocessing(48, 64, interpolation="bilinear", fit="stretch")
CROPPED = Preprocessing(48, 64, interpolation="bicubic")
WILD = DenseAugmentation(scale_range=(0.3, 3.0), aspect_jitter=0.5)
NOBODY = np.zeros(1, bool)


def placements(count=200, record=STRETCHED, augmentation=WILD, image_size=(120, 90)):
    rng = np.random.default_rng(0)
    return [random_placement(rng, image_size, record, augmentation) for _ in range(count)]


def drawn(generator, size=(120, 90)):
    """A map of one rectangle of class 1 in class 0, and its box from 0 to 1."""
    top, left = generator.integers(0, 60), generator.integers(0, 45)
    bottom, right = top + generator.integers(20, 61), left + generator.integers(15, 46)
    mask = np.zeros(size, np.uint8)
    mask[top:bottom, left:right] = 1
    return mask, np.array([[top, left, bottom, right]], np.float32) / np.tile(size, 2)


@pytest.mark.parametrize("record", [STRETCHED, CROPPED], ids=["stretch", "crop"])
def test_boxes_bound_what_is_drawn_in_them(record):
    generator = np.random.default_rng(1)
    kept = 0
    for placement in placements(400, record):
        mask, box = drawn(generator)
        placed = placement.mask(mask)
        boxes, rows = placement.boxes(box, NOBODY)
        if not len(rows):
            continue
        kept += 1
        pixels = np.argwhere(placed == 1)
        bounds = [*pixels.min(axis=0), *(pixels.max(axis=0) + 1)]
        np.testing.assert_allclose(boxes[0] * np.tile(placement.size, 2), bounds, atol=1.0)
    assert kept > 200


def test_an_image_lies_as_its_map_does():
    generator = np.random.default_rng(2)
    for placement in placements(100):
        mask, _ = drawn(generator)
        image = np.repeat(mask[..., None] * np.uint8(255), 3, axis=-1)
        placed = placement.image(image, "nearest", np.array([9, 9, 9], np.uint8))
        expected = np.where(placement.mask(mask) == 1, 255, 0)
        expected[placement.mask(mask) == VOID] = 9
        np.testing.assert_array_equal(placed, np.repeat(expected[..., None], 3, axis=-1))


def test_boxes_that_are_cut_off_are_left_out():
    """The share of the rectangle's pixels that is on the input decides, to within rounding."""
    generator = np.random.default_rng(3)
    dropped = 0
    for placement in placements(600, augmentation=DenseAugmentation(scale_range=(1.5, 4.0))):
        mask, box = drawn(generator)
        whole = Placement(placement.scaled, placement.scaled, (0, 0)).mask(mask)
        share = np.sum(placement.mask(mask) == 1) / np.sum(whole == 1)
        kept = len(placement.boxes(box, NOBODY)[1])
        dropped += not kept
        if abs(share - MIN_VISIBLE) > 0.05:
            assert kept == (share > MIN_VISIBLE)
        # Of a crowd nothing is to be learnt where any of it is.
        of_crowd, _ = placement.boxes(box, ~NOBODY)
        assert len(of_crowd) == 1 or share == 0
        if len(of_crowd) and share == 0:
            assert ((of_crowd[0, 2:] - of_crowd[0, :2]) * placement.size).min() < 1
    assert 50 < dropped < 500


def test_flipped_twice_all_is_as_before():
    generator = np.random.default_rng(4)
    image = generator.integers(0, 256, (48, 64, 3), np.uint8)
    mask = generator.integers(0, 256, (48, 64), np.uint8)
    boxes = np.array([[0.1, 0.2, 0.4, 0.9], [0.0, 0.0, 1.0, 0.25]], np.float32)
    flip = Placement((48, 64), (48, 64), (0, 0), flip=True)
    black = np.zeros(3, np.uint8)
    once = flip.image(image, "bicubic", black)
    twice = flip.image(once, "bicubic", black)
    assert not np.array_equal(once, image)
    np.testing.assert_array_equal(twice, image)
    np.testing.assert_array_equal(flip.mask(flip.mask(mask)), mask)
    crowd = np.zeros(2, bool)
    there, _ = flip.boxes(boxes, crowd)
    np.testing.assert_allclose(there[0], [0.1, 0.1, 0.4, 0.8], atol=1e-6)
    back, rows = flip.boxes(there, crowd)
    np.testing.assert_allclose(back, boxes, atol=1e-6)
    assert rows.tolist() == [0, 1] and back.dtype == np.float32


def test_what_is_no_class_stays_none():
    generator = np.random.default_rng(5)
    mask = generator.choice(np.array([0, 3, VOID], np.uint8), (120, 90))
    void = np.full((120, 90), VOID, np.uint8)
    padded = 0
    for placement in placements(100):
        assert (placement.mask(void) == VOID).all()
        placed = placement.mask(mask)
        assert set(np.unique(placed)) <= {0, 3, VOID}
        padded += min(placement.corner) < 0
    assert padded > 20


def test_a_scale_of_one_is_the_whole_image_as_it_is_evaluated():
    image = open_source("bundled", "test")[3]
    still = DenseAugmentation(scale_range=(1.0, 1.0), flip=False)
    (placement,) = placements(1, STRETCHED, still, image.shape[:2])
    placed = placement.image(image, "bilinear", mean_color(STRETCHED))
    np.testing.assert_array_equal(placed, resize_and_crop(image, STRETCHED))
    # At its own aspect ratio: a square in the middle of nowhere, 48 pixels of 64 wide.
    (placement,) = placements(1, CROPPED, still, image.shape[:2])
    placed = placement.image(image, "bicubic", mean_color(CROPPED))
    assert placement.scaled == (48, 48)
    around = np.all(placed == mean_color(CROPPED), axis=(0, 2))
    assert around.sum() == 16 and np.ptp(np.flatnonzero(~around)) == 47


@pytest.mark.parametrize("record", [STRETCHED, CROPPED], ids=["stretch", "crop"])
def test_what_is_drawn_is_in_its_range(record):
    found = placements(500, record, DenseAugmentation(scale_range=(0.5, 2.0), aspect_jitter=0.2))
    assert 200 < sum(placement.flip for placement in found) < 300
    areas = np.prod([placement.scaled for placement in found], axis=1)
    scales = np.sqrt(areas / (48 * (64 if record is STRETCHED else 36)))
    assert 0.49 < scales.min() < 0.6 and 1.9 < scales.max() < 2.02
    aspects = np.array([placement.scaled[1] / placement.scaled[0] for placement in found])
    aspects /= 64 / 48 if record is STRETCHED else 90 / 120
    assert 0.8 < aspects.min() < 0.87 and 1.15 < aspects.max() < 1.25
    for placement in found:
        for corner, scaled, side in zip(placement.corner, placement.scaled, (48, 64), strict=True):
            assert min(0, scaled - side) <= corner <= max(0, scaled - side)


@pytest.mark.parametrize("image_size", [(1, 1), (1, 500), (500, 1)])
def test_extreme_images(image_size):
    augmentation = DenseAugmentation(scale_range=(0.01, 100.0), aspect_jitter=1.0)
    for placement in placements(50, CROPPED, augmentation, image_size):
        image = np.full((*image_size, 3), 7, np.uint8)
        assert placement.image(image, "bicubic", np.zeros(3, np.uint8)).shape == (48, 64, 3)
        assert placement.mask(image[..., 0]).shape == (48, 64)


def test_chance_is_the_generator_s():
    assert placements(20) == placements(20)
    assert len(set(placements(20))) == 20


def test_the_mean_colour():
    assert mean_color(Preprocessing(8, 8, mean=(0.0, 0.5, 1.0))).tolist() == [0, 128, 255]
    assert mean_color(Preprocessing(8, 8, mean=(2.0,), std=(1.0,))).tolist() == [255]
