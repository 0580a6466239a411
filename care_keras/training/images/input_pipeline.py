"""The batches of classifiers on tf.data: those to train with, and those to evaluate on."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from care_keras.console.cli import UserError
from care_keras.data.preprocessing import in_channels, normalize, resize_and_crop
from care_keras.data.record import Preprocessing
from care_keras.data.sources import Source
from care_keras.training.images.augmentation import Augmentation
from care_keras.training.images.augmenter import Augmenter
from care_keras.training.images.crops import padded_crops, random_resized_crop
from care_keras.training.images.grouped_pipeline import (
    MEGABYTE,
    GroupedPipeline,
    data_options,
    tensorflow_for_data,
)
from care_keras.training.images.image_reader import ImageReader

if TYPE_CHECKING:
    import tensorflow as tf

# Images that are read by one task.
_GROUP = 32


class TrainingPipeline(GroupedPipeline):
    """Shuffled, augmented batches of images, and float32 one-hot or mixed labels of them.

    See `GroupedPipeline`; partners of mixing are of one group.

    Args:
        source: Labelled images.
        preprocessing: The model's record.
        batch_size: Images per step, of all processes together.
        augmentation: What is done to the images.
        seed: Seed of order and augmentation.
        low_resolution: Height and width of the images in the first epochs.
        low_resolution_epochs: How many epochs that are.
        shard_index: Which share of each batch this process takes.
        shard_count: Number of equal shares.
        cache_megabytes: Decoded images are kept in memory if all fit in this.
        teacher: `teacher(images)` gives logits `(batch, classes)` of a batch as
            NumPy arrays; targets are then `[labels | logits]`, twice as wide.

    Raises:
        ValueError: If there are fewer images than one batch holds, or a batch
            cannot be divided.
    """

    def __init__(
        self,
        source: Source,
        preprocessing: Preprocessing,
        batch_size: int,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 (it is frozen)
        seed: int = 0,
        low_resolution: int = 0,
        low_resolution_epochs: int = 0,
        shard_index: int = 0,
        shard_count: int = 1,
        cache_megabytes: int = 2048,
        teacher: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        super().__init__(
            source, preprocessing, batch_size, augmentation, seed, shard_index, shard_count
        )
        self.low_resolution = low_resolution
        self.low_resolution_epochs = low_resolution_epochs
        self.teacher = teacher
        self.classes = len(source.class_names)
        self._labels = np.asarray(source.labels, np.int32)
        # Random resized crops are cut out of the whole photo.
        prepare = self._whole if augmentation.crop == "resized" else self._resize_and_crop
        self._reader = ImageReader(source, prepare, cache_megabytes * MEGABYTE)
        self._augmenter = Augmenter(augmentation, preprocessing, self.classes)

    def size(self, epoch: int) -> tuple[int, int]:
        """Height and width of the images of an epoch."""
        if epoch < self.low_resolution_epochs:
            return self.low_resolution, self.low_resolution
        return super().size(epoch)

    def _specs(self, size):
        return ((None, *size, self.preprocessing.channels), np.uint8), ((None,), np.int32)

    def _read(self, index):
        return self._reader[index]

    def _cut(self, read, chosen, rng, size):
        options = self.augmentation
        if options.crop == "resized":
            limits = (options.crop_scale, options.crop_ratio, options.crop_interpolation)
            pixels = np.stack([random_resized_crop(image, rng, size, *limits) for image in read])
        else:
            pixels = np.stack(read)
            if options.crop == "padded":
                padding = options.padding if size == pixels.shape[1:3] else 0
                pixels = padded_crops(pixels, rng, size, padding)
        return pixels, self._labels[chosen]

    def _made(self, pixels, labels, seeds):
        return self._augmenter(pixels, labels, seeds)

    def _batched(self, dataset):
        return dataset if self.teacher is None else dataset.map(self._taught)

    def _taught(self, images, targets):
        tf = tensorflow_for_data()
        logits = tf.numpy_function(self.teacher, [images], tf.float32)
        logits.set_shape(targets.shape)
        return images, tf.concat([targets, logits], axis=1)

    def _whole(self, image):
        return in_channels(image, self.preprocessing.channels)

    def _resize_and_crop(self, image):
        return resize_and_crop(image, self.preprocessing)


class EvaluationPipeline:
    """All images in order, prepared as in conversion and on phones: batches of `(images, targets)`.

    Args:
        source: Labelled images.
        preprocessing: The model's record.
        batch_size: Images per batch; the last may hold fewer.
        cache_megabytes: Decoded images are kept in memory if all fit in this.
    """

    def __init__(
        self,
        source: Source,
        preprocessing: Preprocessing,
        batch_size: int = 250,
        cache_megabytes: int = 2048,
    ):
        self.source = source
        self.preprocessing = preprocessing
        self.batch_size = batch_size
        self.classes = len(source.class_names)
        self.steps = -(-len(source) // batch_size)
        self.error = None
        self._labels = np.asarray(source.labels, np.int32)
        self._reader = ImageReader(source, self._prepare, cache_megabytes * MEGABYTE)

    def _prepare(self, image):
        return resize_and_crop(image, self.preprocessing)

    def dataset(self) -> "tf.data.Dataset":
        """`tf.data.Dataset` of float32 inputs and float32 one-hot labels `(batch, classes)`."""
        tf = tensorflow_for_data()
        record = self.preprocessing

        def read(start, end):
            images, labels = tf.numpy_function(
                self._load, [start, end], [tf.float32, tf.int32], stateful=False
            )
            images.set_shape((None, record.height, record.width, record.channels))
            labels.set_shape((None,))
            return images, tf.one_hot(labels, self.classes)

        starts = np.arange(0, len(self.source), _GROUP)
        ends = np.minimum(starts + _GROUP, len(self.source))
        dataset = tf.data.Dataset.from_tensor_slices((starts, ends))
        dataset = dataset.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        dataset = dataset.rebatch(self.batch_size)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(self.steps))
        return dataset.prefetch(tf.data.AUTOTUNE).with_options(data_options())

    def _load(self, start, end):
        try:
            pixels = np.stack([self._reader[index] for index in range(start, end)])
        except ValueError as error:
            self.error = error
            raise
        return normalize(pixels, self.preprocessing), self._labels[start:end]


@contextlib.contextmanager
def reading_errors(*pipelines: GroupedPipeline | EvaluationPipeline) -> Iterator[None]:
    """Makes an image that a pipeline could not read the one line that names it.

    Raises:
        UserError: Instead of TensorFlow's error about such an image.
    """
    try:
        yield
    except Exception as error:
        for pipeline in pipelines:
            if pipeline.error is not None:
                raise UserError(str(pipeline.error)) from error
        raise
