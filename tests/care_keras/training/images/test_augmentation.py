import functools

import numpy as np
import pytest
import tensorflow as tf

from care_keras.data.preprocessing import normalize
from care_keras.data.record import IMAGENET_MEAN, IMAGENET_STD
from care_keras.data.sources import open_source
from care_keras.models import Preprocessing
from care_keras.training.images.augmentation import Augmentation
from care_keras.training.images.augmenter import Augmenter
from care_keras.training.images.tf_data import GroupSeeds

RECORD = Preprocessing(height=32, width=32, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
CLASSES = 64


@pytest.fixture(scope="module")
def photos():
    source = open_source("bundled", "train").sample(64)
    return np.stack([source[i] for i in range(64)])


@functools.cache
def augmentation(record, **options):
    """The function of these options, in a graph as in tf.data."""
    augmenter = Augmenter(Augmentation(**{"flip": False, **options}), record, CLASSES)

    @tf.function(autograph=False)
    def augment(pixels, labels, key):
        return augmenter(pixels, labels, GroupSeeds(key))

    return augment


def augmented(pixels, key=0, record=RECORD, **options):
    """`(images, targets)`, each image of a class of its own."""
    labels = np.arange(len(pixels), dtype=np.int32)
    key = np.asarray([key, 7], np.int32)
    images, targets = augmentation(record, **options)(pixels, labels, key)
    assert images.dtype == targets.dtype == tf.float32
    assert images.shape == pixels.shape
    assert targets.shape == (len(pixels), CLASSES)
    return images.numpy(), targets.numpy()


def changed(images, pixels):
    """Which pixels differ from those of evaluation, `(images, height, width)`."""
    return np.any(np.abs(images - normalize(pixels, RECORD)) > 1e-5, axis=-1)


FULL = {
    "flip": True,
    "rand_augment": 9.0,
    "random_erasing": 0.25,
    "mixup": 0.8,
    "cutmix": 1.0,
}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"flip": True},
        {"color_jitter": 0.4},
        {"rand_augment": 9.0},
        {"random_erasing": 0.5},
        {"mixup": 0.8},
        {"cutmix": 1.0},
        FULL,
    ],
)
def test_randomness_is_the_key_s(photos, options):
    images, targets = augmented(photos, key=1, **options)
    again, targets_again = augmented(photos, key=1, **options)
    np.testing.assert_array_equal(again, images)
    np.testing.assert_array_equal(targets_again, targets)
    others, _ = augmented(photos, key=2, **options)
    assert np.array_equal(others, images) == (not options)
    assert np.isfinite(images).all()
    np.testing.assert_allclose(targets.sum(-1), 1.0, atol=1e-6)
    # Normalized pixels, but for noise.
    lowest, highest = normalize(np.asarray([[0] * 3, [255] * 3], np.uint8), RECORD)
    if not options.get("random_erasing"):
        assert (images > lowest - 1e-5).all() and (images < highest + 1e-5).all()


def test_without_options_images_are_those_of_evaluation(photos):
    images, targets = augmented(photos)
    assert not changed(images, photos).any()
    np.testing.assert_array_equal(targets, np.eye(CLASSES)[: len(photos)])


def test_half_of_the_images_are_mirrored(photos):
    images, _ = augmented(photos, flip=True)
    plain, mirrored = normalize(photos, RECORD), normalize(photos[:, :, ::-1], RECORD)
    kinds = [
        (np.allclose(image, as_is, atol=1e-5), np.allclose(image, turned, atol=1e-5))
        for image, as_is, turned in zip(images, plain, mirrored, strict=True)
    ]
    assert all(as_is != turned for as_is, turned in kinds)
    assert 20 < sum(turned for _, turned in kinds) < 44


def test_rand_augment_leaves_a_quarter_of_the_images(photos):
    images, _ = augmented(photos, rand_augment=9.0)
    # Neither of two operations is applied, or one that changes nothing.
    unchanged = ~changed(images, photos).any(axis=(1, 2))
    assert 8 < unchanged.sum() < 32


def test_color_jitter_changes_colors_within_its_limits():
    values = np.full((64, 32, 32, 3), 128, np.uint8)
    values[..., 1] = 64
    record = Preprocessing(32, 32, mean=(0.0,) * 3, std=(1 / 255,) * 3)
    images, _ = augmented(values, record=record, color_jitter=0.4)
    # Of one color: contrast has nothing to change, all pixels stay alike.
    assert np.ptp(images, axis=(1, 2)).max() < 1e-3
    red, green, blue = images[:, 0, 0].T
    np.testing.assert_allclose(red, blue, atol=1e-3)
    # Brightness adds up to 0.4 of the mean brightness of photos, 0.449 * 255.
    delta = red - 128
    assert np.abs(delta).max() <= 45.9
    assert delta.min() < -30 < 30 < delta.max()
    saturation = (1 - green / red) / (1 - (64 + delta) / (128 + delta))
    assert 0.59 < saturation.min() < 0.7 and 1.3 < saturation.max() < 1.41


def test_color_jitter_changes_contrast(photos):
    images, _ = augmented(photos, color_jitter=0.4)
    ratios = images.std(axis=(1, 2, 3)) / normalize(photos, RECORD).std(axis=(1, 2, 3))
    assert ratios.min() < 0.8 and ratios.max() > 1.15


def test_color_jitter_stands_in_for_rand_augment(photos):
    both, _ = augmented(photos, rand_augment=9.0, color_jitter=0.4)
    alone, _ = augmented(photos, rand_augment=9.0)
    np.testing.assert_array_equal(both, alone)


def test_random_erasing_fills_rectangles_with_noise(photos):
    erased = []
    for key in range(6):
        images, targets = augmented(photos, key, random_erasing=0.25)
        np.testing.assert_array_equal(targets, np.eye(CLASSES))
        erased += [
            (image, mask) for image, mask in zip(images, changed(images, photos), strict=True)
        ]
    hit = [(image, mask) for image, mask in erased if mask.any()]
    assert len(hit) / len(erased) == pytest.approx(0.25, abs=0.07)
    for _, mask in hit:
        assert_rectangle(mask)
    shares = [mask.mean() for _, mask in hit]
    assert 0.01 < min(shares) < 0.1 and 0.2 < max(shares) < 0.4
    # In units of full scale: like the pixels of ImageNet.
    noise = np.concatenate([image[mask] for image, mask in hit]) * RECORD.std + RECORD.mean
    np.testing.assert_allclose(noise.mean(axis=0), IMAGENET_MEAN, atol=0.01)
    np.testing.assert_allclose(noise.std(axis=0), IMAGENET_STD, atol=0.01)


def assert_rectangle(mask):
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert mask.sum() == len(rows) * len(columns)


def of_one_value():
    """Images of 64 values, 3 apart."""
    return np.broadcast_to(
        np.arange(64, dtype=np.uint8)[:, None, None, None] * 3, (64, 32, 32, 3)
    ).copy()


@pytest.mark.parametrize(
    "options", [{"mixup": 0.8}, {"cutmix": 1.0}, {"cutmix": 0.3}, {"mixup": 0.8, "cutmix": 1.0}]
)
def test_mixed_targets_match_the_pixels(options):
    pixels = of_one_value()
    values = normalize(pixels, RECORD)[:, 0, 0]
    for key in range(4):
        images, targets = augmented(pixels, key, **options)
        assert (targets >= 0).all()
        assert ((targets > 0).sum(-1) <= 2).all()
        # Partners are others, but for chance.
        assert ((targets > 0).sum(-1) == 2).mean() > 0.5
        np.testing.assert_allclose(images.mean(axis=(1, 2)), targets @ values, atol=1e-4)


def test_mixup_blends_and_cutmix_cuts():
    pixels = of_one_value()
    blended, targets = augmented(pixels, mixup=0.8)
    assert np.ptp(blended, axis=(1, 2)).max() < 1e-5
    # Beta(0.8, 0.8): mean 1/2, variance 1 / (4 * 2.6).
    weights = targets[np.arange(64), np.arange(64)]
    assert weights.mean() == pytest.approx(0.5, abs=0.12)
    assert weights.std() == pytest.approx(0.31, abs=0.06)
    cut, _ = augmented(pixels, cutmix=1.0)
    for image, mask in zip(cut, changed(cut, pixels), strict=True):
        values = np.unique(image[..., 0])
        assert len(values) <= 2
        if mask.any():
            assert_rectangle(mask)


@pytest.mark.parametrize("switch", [0.0, 0.3, 1.0])
def test_groups_are_mixed_by_one_or_the_other(switch):
    pixels = of_one_value()[:8]
    augmenter = Augmenter(
        Augmentation(flip=False, mixup=0.8, cutmix=1.0, mix_switch=switch), RECORD, CLASSES
    )

    @tf.function(autograph=False)
    def is_cut(key):
        images, _ = augmenter(pixels, tf.range(8), GroupSeeds(key))
        ranges = tf.reduce_max(images, (1, 2)) - tf.reduce_min(images, (1, 2))
        return tf.reduce_max(ranges) > 1e-4

    cut = [bool(is_cut(tf.constant([key, 1]))) for key in range(60)]
    assert np.mean(cut) == pytest.approx(switch, abs=0.0 if switch in (0.0, 1.0) else 0.15)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crop", "middle"),
        ("padding", -1),
        ("crop_scale", (0.0, 1.0)),
        ("crop_scale", (0.5, 0.2)),
        ("crop_ratio", (2.0, 1.0)),
        ("crop_interpolation", "lanczos"),
        ("rand_augment", 11.0),
        ("rand_augment_std", -1.0),
        ("rand_augment_ops", 0),
        ("color_jitter", 1.0),
        ("random_erasing", 1.5),
        ("mixup", -0.1),
        ("cutmix", 1.1),
        ("mix_switch", 2.0),
    ],
)
def test_values_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"`{name}` is out of its range. Received: {name}="):
        Augmentation(**{name: value})


def test_grey_images(photos):
    record = Preprocessing(32, 32, mean=(0.5,), std=(0.25,))
    grey = photos[:16, ..., :1]
    options = {"color_jitter": 0.3, "random_erasing": 0.5, "mixup": 0.4, "cutmix": 1.0}
    images, _ = augmented(grey, record=record, **options)
    assert np.isfinite(images).all() and not np.allclose(images, normalize(grey, record))
    message = "RandAugment is for RGB images.*Received: rand_augment=9"
    with pytest.raises(ValueError, match=message):
        Augmenter(Augmentation(rand_augment=9.0), record, CLASSES)
