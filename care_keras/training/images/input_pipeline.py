"""The batches of classifiers: those to train with, and those to evaluate on."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from care_keras.console.cli import UserError
from care_keras.data.preprocessing import in_channels, normalize, resize_and_crop
from care_keras.data.record import Preprocessing
from care_keras.data.sources import Source
from care_keras.training.images.augmentation import Augmentation
from care_keras.training.images.augmenter import Augmenter
from care_keras.training.images.choose_engine import choose_engine
from care_keras.training.images.crops import padded_crops, random_resized_crop
from care_keras.training.images.engine import Engine
from care_keras.training.images.grouped_pipeline import MEGABYTE, GroupedPipeline
from care_keras.training.images.image_reader import ImageReader


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
        engine: What the batches are computed with; see `GroupedPipeline`.

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
        engine: Engine | None = None,
    ):
        super().__init__(
            source, preprocessing, batch_size, augmentation, seed, shard_index, shard_count, engine
        )
        self.low_resolution = low_resolution
        self.low_resolution_epochs = low_resolution_epochs
        self.teacher = teacher
        self.classes = len(source.class_names)
        self._labels = np.asarray(source.labels, np.int32)
        # Random resized crops are cut out of the whole photo.
        prepare = self._whole if augmentation.crop == "resized" else self._resize_and_crop
        self._reader = ImageReader(source, prepare, cache_megabytes * MEGABYTE)
        self._augmenter = Augmenter(augmentation, preprocessing, self.classes, self.engine)

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
        engine: What the batches are made by; tf.data by default, where TensorFlow is installed.
    """

    def __init__(
        self,
        source: Source,
        preprocessing: Preprocessing,
        batch_size: int = 250,
        cache_megabytes: int = 2048,
        engine: Engine | None = None,
    ):
        self.source = source
        self.preprocessing = preprocessing
        self.batch_size = batch_size
        self.classes = len(source.class_names)
        self.steps = -(-len(source) // batch_size)
        self.engine = engine or choose_engine()
        self.error = None
        self._labels = np.asarray(source.labels, np.int32)
        self._reader = ImageReader(source, self._prepare, cache_megabytes * MEGABYTE)

    def _prepare(self, image):
        return resize_and_crop(image, self.preprocessing)

    def dataset(self) -> Any:
        """What `evaluate` takes: float32 inputs and float32 one-hot labels `(batch, classes)`."""
        record = self.preprocessing
        return self.engine.evaluation(
            self._load,
            (record.height, record.width, record.channels),
            self.classes,
            len(self.source),
            self.batch_size,
        )

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
        UserError: Instead of the engine's error about such an image.
    """
    try:
        yield
    except Exception as error:
        for pipeline in pipelines:
            if pipeline.error is not None:
                raise UserError(str(pipeline.error)) from error
        raise
