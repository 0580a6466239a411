import dataclasses

import numpy as np
import pytest

from care_keras.console.cli import UserError
from care_keras.data.detection import Objects, open_detection
from care_keras.data.preprocessing import prepare
from care_keras.data.record import Preprocessing
from care_keras.data.segmentation import VOID, open_segmentation
from care_keras.training.images.dense_augmentation import DenseAugmentation
from care_keras.training.images.dense_pipeline import (
    CROWD,
    NO_OBJECT,
    DetectionPipeline,
    SegmentationPipeline,
)
from care_keras.training.images.input_pipeline import reading_errors
from tests.care_keras.training.images.batches import arrays_of
from tests.care_keras.training.images.made_objects import made_source

pytestmark = pytest.mark.usefixtures("each_engine")

RECORD = Preprocessing(
    48, 64, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), interpolation="bilinear", fit="stretch"
)
STILL = DenseAugmentation(scale_range=(1.0, 1.0), flip=False)
WILD = DenseAugmentation(scale_range=(0.5, 2.0), aspect_jitter=0.2, color_jitter=0.4)
KINDS = {"camvid": SegmentationPipeline, "bccd": DetectionPipeline, "coco_mini": DetectionPipeline}


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def source(dense_folder, kind):
    opened = open_segmentation if kind == "camvid" else open_detection
    return opened(str(dense_folder / kind), "val").take(range(0, 80, 3))


def batches(kind, source, batch_size=9, epoch=0, first_step=0, augmentation=WILD, **kwargs):
    pipeline = KINDS[kind](source, RECORD, batch_size, augmentation, **kwargs)
    return arrays_of(pipeline.epoch(epoch, first_step))


def assert_same(actual, expected):
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        for array, like in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, like)


def test_without_chance_batches_are_as_in_evaluation(kind, source):
    order = np.random.default_rng((0, 0)).permutation(len(source))
    place = 0
    for images, targets in batches(kind, source, augmentation=STILL):
        assert images.dtype == np.float32 and images.shape == (9, 48, 64, 3)
        for image, target in zip(images, targets, strict=True):
            index = int(order[place])
            np.testing.assert_allclose(image, prepare(source[index], RECORD), atol=1e-5)
            if kind == "camvid":
                assert target.dtype == np.uint8 and target.shape == (48, 64)
                assert set(np.unique(target)) <= set(np.unique(source.mask(index)))
                # Rows and columns at the middle of a pixel of the input, 7.5 of 360x480.
                expected = source.mask(index)[3::15][:, 3::15]
                np.testing.assert_array_equal(target[::2, ::2], expected)
            else:
                objects = source.objects(index)
                count = len(objects)
                expected = objects.boxes / np.tile(source.image_size(index), 2)
                np.testing.assert_allclose(target[:count, :4], expected, atol=1e-6)
                labels = np.where(objects.crowd, CROWD, objects.labels)
                np.testing.assert_array_equal(target[:count, 4], labels)
                np.testing.assert_array_equal(target[count:, 4], NO_OBJECT)
                assert not target[count:, :4].any()
            place += 1
    assert place == 27


def test_chance_depends_on_seed_and_epoch_alone(kind, source):
    first = batches(kind, source, epoch=1, seed=5)
    assert_same(batches(kind, source, epoch=1, seed=5, cache_megabytes=0), first)
    assert_same(batches(kind, source, epoch=1, seed=5, first_step=2), first[2:])
    for other in (batches(kind, source, epoch=2, seed=5), batches(kind, source, epoch=1, seed=6)):
        assert not np.array_equal(other[0][0], first[0][0])
        assert not np.array_equal(other[0][1], first[0][1])


def test_shares_of_processes_are_the_batch(kind, source):
    # Groups of 8 and 4; shares of 6 rows cross them.
    whole = batches(kind, source, 12)
    shares = [batches(kind, source, 12, shard_index=i, shard_count=2) for i in range(2)]
    joined = [
        tuple(np.concatenate(parts) for parts in zip(*of_step, strict=True))
        for of_step in zip(*shares, strict=True)
    ]
    assert_same(joined, whole)


def test_colours_are_jittered_and_nothing_else(kind, source):
    plain = dataclasses.replace(WILD, color_jitter=0.0)
    jittered, still = (batches(kind, source, augmentation=one) for one in (WILD, plain))
    for (images, targets), (others, same) in zip(jittered, still, strict=True):
        np.testing.assert_array_equal(targets, same)
        changes = np.abs(images - others).mean(axis=(1, 2, 3))
        assert (changes > 0.01).all() and np.ptp(changes) > 0.05


def test_what_is_outside_of_an_image(kind, source):
    small = DenseAugmentation(scale_range=(0.4, 0.5), flip=False)
    for images, targets in batches(kind, source, augmentation=small):
        for image, target in zip(images, targets, strict=True):
            around = np.all(np.abs(image) < 0.02, axis=-1)
            assert around.mean() > 0.7
            if kind == "camvid":
                assert (target == VOID)[around].mean() > 0.95
            else:
                boxes = target[target[:, 4] != NO_OBJECT, :4] * [48, 64, 48, 64]
                for ymin, xmin, ymax, xmax in np.rint(boxes).astype(int):
                    assert (
                        not around[ymin:ymax, xmin:xmax].all() or min(ymax - ymin, xmax - xmin) < 2
                    )


def test_grey_images(kind, source):
    record = dataclasses.replace(RECORD, mean=(0.5,), std=(0.25,))
    images, _ = next(iter(KINDS[kind](source, record, 4, WILD).epoch(0)))
    assert images.shape == (4, 48, 64, 1)


def test_images_are_kept_no_larger_than_is_needed(dense_folder):
    """Masks keep their size; what comes out lies where it lay."""
    source = open_segmentation(str(dense_folder / "camvid"), "val").take(range(8))
    pipeline = SegmentationPipeline(source, RECORD, 4, DenseAugmentation(scale_range=(0.5, 1.5)))
    assert pipeline._reader[0].shape == (72, 96, 3) and pipeline._masks[0].shape == (360, 480)


def test_of_very_many_objects_the_largest_stay():
    sides = np.random.default_rng(0).permutation(np.linspace(1, 30, 150)).astype(np.float32)
    boxes = np.stack([np.zeros(150), np.zeros(150), sides, sides], axis=1)
    objects = Objects(boxes, np.arange(150) % 2, np.zeros(150, bool), sides**2)
    ((_, rows),) = DetectionPipeline(made_source(objects), RECORD, 4, STILL).epoch(0)
    assert rows.shape == (4, 100, 5)
    (kept,) = np.nonzero(sides >= np.sort(sides)[50])
    np.testing.assert_allclose(rows[0, :, 2] * 40, sides[kept], rtol=1e-5)
    np.testing.assert_array_equal(rows[0, :, 4], kept % 2)


def test_images_without_objects():
    nothing = Objects(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, bool), np.zeros(0))
    ((_, rows),) = DetectionPipeline(made_source(nothing), RECORD, 4, WILD).epoch(0)
    np.testing.assert_array_equal(rows, np.tile([0.0, 0, 0, 0, NO_OBJECT], (4, 1, 1)))


def test_what_cannot_be_read_is_named(dense_folder):
    def read(index):
        raise ValueError("Cannot decode the image. Received: y")

    nothing = Objects(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, bool), np.zeros(0))
    detection = DetectionPipeline(made_source(nothing, read), RECORD, 2)
    maps = open_segmentation(str(dense_folder / "camvid"), "val").take(range(4))
    segmentation = SegmentationPipeline(
        dataclasses.replace(maps, read_mask=read), RECORD, 2, cache_megabytes=0
    )
    for pipeline in (detection, segmentation):
        with (
            pytest.raises(UserError, match=r"^Cannot decode the image\. Received: y$"),
            reading_errors(pipeline),
        ):
            list(pipeline.epoch(0))
