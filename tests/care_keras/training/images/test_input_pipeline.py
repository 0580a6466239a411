import keras
import numpy as np
import pytest
import tensorflow as tf

from care_keras.console.cli import UserError
from care_keras.data.preprocessing import prepare
from care_keras.data.sources import Source, open_source
from care_keras.models import Preprocessing
from care_keras.training.images.augmentation import Augmentation
from care_keras.training.images.input_pipeline import (
    EvaluationPipeline,
    TrainingPipeline,
    reading_errors,
)
from tests.care_keras.training.images.batches import arrays_of

PREPROCESSING = Preprocessing(height=12, width=10, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
PLAIN = Augmentation(crop="none", flip=False)

pytestmark = pytest.mark.usefixtures("each_engine")


@pytest.fixture(scope="module")
def photos():
    return open_source("bundled", "train").sample(90)


def numbered(count=22):
    """Image i is of the one value i, its label i: crops and flips leave it recognizable."""
    return Source(
        "numbered",
        count,
        lambda i: np.full((20, 14, 3), i, np.uint8),
        np.arange(count),
        tuple(f"class {i}" for i in range(count)),
        tuple(f"item {i}" for i in range(count)),
    )


def numbers_of(images):
    first = images[:, 0, 0, 0] * PREPROCESSING.std[0] + PREPROCESSING.mean[0]
    return np.rint(first * 255).astype(int)


def batches(source, batch_size=4, epoch=0, first_step=0, **kwargs):
    pipeline = TrainingPipeline(source, PREPROCESSING, batch_size, **kwargs)
    dataset = pipeline.epoch(epoch, first_step)
    assert len(dataset) == max(pipeline.steps_per_epoch - first_step, 0)
    return arrays_of(dataset)


def assert_same(actual, expected):
    assert len(actual) == len(expected)
    for (images, targets), (other_images, other_targets) in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(targets, other_targets)


@pytest.mark.parametrize("crop", ["none", "padded", "resized"])
def test_targets_follow_their_images(crop):
    seen = []
    for images, targets in batches(numbered(), augmentation=Augmentation(crop=crop)):
        assert (images.dtype, images.shape) == (np.float32, (4, 12, 10, 3))
        assert (targets.dtype, targets.shape) == (np.float32, (4, 22))
        np.testing.assert_array_equal(targets, np.eye(22)[numbers_of(images)])
        seen += targets.argmax(-1).tolist()
    # Five full batches of 22 images, none of them twice.
    assert len(seen) == len(set(seen)) == 20


def test_without_augmentation_images_are_as_in_evaluation(photos):
    source = photos.take(np.arange(8))
    expected = np.stack([prepare(source[i], PREPROCESSING) for i in range(8)])
    ((images, targets),) = batches(source, 8, augmentation=PLAIN)
    order = np.random.default_rng((0, 0)).permutation(8)
    np.testing.assert_allclose(images, expected[order], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(targets.argmax(-1), source.labels[order])


def test_threads_make_no_difference(photos):
    """Everything that is random, and every sum, comes out the same in whatever order it is done."""
    augmentation = Augmentation(
        crop="resized",
        crop_interpolation="random",
        rand_augment=9.0,
        random_erasing=0.25,
        mixup=0.8,
        cutmix=1.0,
    )
    pipeline = TrainingPipeline(photos, PREPROCESSING, 45, augmentation)
    if pipeline.engine.name == "numpy":
        # Batches by themselves, and one after the other.
        dataset = pipeline.epoch(1)
        assert_same([dataset[1], dataset[0]], list(dataset)[::-1])
        return
    epochs = []
    for threads in (1, 2, 8):
        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        dataset = pipeline.epoch(1).with_options(options)
        assert dataset.options().threading.private_threadpool_size == threads
        epochs.append(list(dataset.as_numpy_iterator()))
    assert_same(epochs[1], epochs[0])
    assert_same(epochs[2], epochs[0])


@pytest.mark.parametrize("crop", ["padded", "resized"])
def test_order_and_augmentation_depend_on_seed_and_epoch(photos, crop):
    def of(seed, epoch):
        return batches(photos, 45, epoch, augmentation=Augmentation(crop=crop), seed=seed)

    first = of(5, 0)
    assert_same(of(5, 0), first)
    for other in (of(6, 0), of(5, 1)):
        assert not np.array_equal(other[0][0], first[0][0])
        assert not np.array_equal(other[0][1], first[0][1])


def test_an_epoch_can_be_entered_at_any_step(photos):
    whole = batches(photos, 20, epoch=2, seed=3)
    for first_step in (1, 3, 4):
        assert_same(batches(photos, 20, 2, first_step, seed=3), whole[first_step:])


# 40 images are two groups; shares of 20 rows cross them, shares of 8 lie inside.
@pytest.mark.parametrize("shard_count", [2, 5])
def test_shares_of_processes_are_the_batch(photos, shard_count):
    # What mixes images too: partners may be another process's.
    options = {"augmentation": Augmentation(random_erasing=0.5, mixup=0.8, cutmix=1.0)}
    whole = batches(photos, 40, epoch=1, **options)
    shares = [
        batches(photos, 40, epoch=1, shard_index=index, shard_count=shard_count, **options)
        for index in range(shard_count)
    ]
    joined = [
        tuple(np.concatenate(parts) for parts in zip(*of_step, strict=True))
        for of_step in zip(*shares, strict=True)
    ]
    assert_same(joined, whole)


def test_the_first_epochs_are_at_low_resolution(photos):
    source = photos.take(np.arange(8))
    pipeline = TrainingPipeline(source, PREPROCESSING, 4, low_resolution=8, low_resolution_epochs=2)
    sizes = [next(iter(pipeline.epoch(epoch)))[0].shape[1:3] for epoch in range(4)]
    assert sizes == [(8, 8), (8, 8), (12, 10), (12, 10)]


@pytest.mark.parametrize("cache_megabytes", [0, 1])
def test_decoded_images_are_kept_where_they_fit(cache_megabytes):
    reads = []
    plain = numbered(16)
    source = Source(
        plain.name,
        16,
        lambda i: reads.append(i) or plain[i],
        plain.labels,
        plain.class_names,
        plain.item_names,
    )
    pipeline = TrainingPipeline(source, PREPROCESSING, 4, cache_megabytes=cache_megabytes)
    del reads[:]
    epochs = [arrays_of(pipeline.epoch(0)) for _ in range(2)]
    assert sorted(reads) == sorted([*range(16)] * (1 if cache_megabytes else 2))
    assert_same(*epochs)


def test_a_teacher_s_logits_are_beside_the_labels(photos):
    def teacher(images):
        return images.mean(axis=(1, 2, 3))[:, None] * np.arange(10, dtype=np.float32)

    for images, targets in batches(photos, 30, teacher=teacher):
        assert targets.shape == (30, 20)
        np.testing.assert_array_equal(targets[:, :10].sum(-1), np.ones(30))
        np.testing.assert_array_equal(targets[:, 10:], teacher(images))


def test_evaluation_goes_through_all_images_unchanged(photos):
    source = photos.take(np.arange(40))
    dataset = EvaluationPipeline(source, PREPROCESSING, batch_size=18).dataset()
    images, targets = zip(*arrays_of(dataset), strict=True)
    assert [len(part) for part in images] == [18, 18, 4]
    expected = np.stack([prepare(source[i], PREPROCESSING) for i in range(40)])
    np.testing.assert_array_equal(np.concatenate(images), expected)
    np.testing.assert_array_equal(np.concatenate(targets), np.eye(10)[source.labels])


def test_an_unreadable_image_is_named():
    def read(index):
        if index == 3:
            raise ValueError("Cannot decode the image. Received: item 3")
        return np.zeros((12, 10, 3), np.uint8)

    plain = numbered(8)
    source = Source("bad", 8, read, plain.labels, plain.class_names, plain.item_names)
    training = TrainingPipeline(source, PREPROCESSING, 4)
    evaluation = EvaluationPipeline(source, PREPROCESSING)
    message = r"^Cannot decode the image\. Received: item 3$"
    for pipeline, dataset in ((training, training.epoch(0)), (evaluation, evaluation.dataset())):
        with pytest.raises(UserError, match=message), reading_errors(pipeline):
            list(dataset)


def test_other_errors_pass_through(photos):
    pipeline = EvaluationPipeline(photos, PREPROCESSING)
    with pytest.raises(ZeroDivisionError), reading_errors(pipeline):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 23}, "Received: 22 images, batch_size=23$"),
        ({"batch_size": 4, "shard_count": 3}, "Received: batch_size=4, shard_count=3$"),
    ],
)
def test_batches_that_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainingPipeline(numbered(), PREPROCESSING, **changes)


def test_fit_takes_the_batches(photos):
    model = keras.Sequential(
        [keras.Input((12, 10, 3)), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    pipeline = TrainingPipeline(photos, PREPROCESSING, 30)
    history = model.fit(pipeline.epoch(0), epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize("crop", ["none", "padded", "resized"])
def test_grey_images(photos, crop):
    record = Preprocessing(height=12, width=10, mean=(0.5,), std=(0.25,))
    augmentation = Augmentation(crop=crop, flip=False)
    images, _ = next(iter(TrainingPipeline(photos, record, 6, augmentation).epoch(0)))
    assert images.shape == (6, 12, 10, 1)
    (images, _), *_ = EvaluationPipeline(photos.take(range(4)), record).dataset()
    expected = [prepare(photos[i], record) for i in range(4)]
    np.testing.assert_allclose(images, expected, atol=1e-6)
