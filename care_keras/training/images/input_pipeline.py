"""The input pipeline on tf.data: batches that depend on seed, epoch and step alone."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING

import keras
import numpy as np

from care_keras.console.cli import UserError
from care_keras.data.preprocessing import in_channels, normalize, resize_and_crop
from care_keras.data.record import Preprocessing
from care_keras.data.sources import Source
from care_keras.training.images.augmentation import Augmentation
from care_keras.training.images.augmenter import Augmenter, GroupSeeds, random_key
from care_keras.training.images.crops import padded_crops, random_resized_crop
from care_keras.training.images.image_reader import ImageReader

if TYPE_CHECKING:
    import tensorflow as tf

# Images that are augmented together, in one task of one thread. Mixing partners are of one group.
_GROUP = 32
_MEGABYTE = 2**20


class TrainingPipeline:
    """Shuffled, augmented batches of `(images, targets)`.

    The content of batch `i` of epoch `e` depends on `(seed, e, i)` alone, not
    on threads, on where the epoch was entered or on how a batch is divided
    among processes. An incomplete last batch is dropped.

    A batch is made in groups of images, each by one task, so that groups of
    many batches are decoded and augmented in parallel.

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
        if len(source) < batch_size:
            raise ValueError(
                "There are fewer images than one batch holds. "
                f"Received: {len(source)} images, batch_size={batch_size}"
            )
        if batch_size % shard_count:
            raise ValueError(
                "A batch must be divisible among the processes. "
                f"Received: batch_size={batch_size}, shard_count={shard_count}"
            )
        self.source = source
        self.preprocessing = preprocessing
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.seed = seed
        self.low_resolution = low_resolution
        self.low_resolution_epochs = low_resolution_epochs
        self.shard_index = shard_index
        self.shard_count = shard_count
        self.teacher = teacher
        self.classes = len(source.class_names)
        self.steps_per_epoch = len(source) // batch_size
        self.error = None
        self._labels = np.asarray(source.labels, np.int32)
        # Random resized crops are cut out of the whole photo.
        prepare = self._whole if augmentation.crop == "resized" else self._resize_and_crop
        self._reader = ImageReader(source, prepare, cache_megabytes * _MEGABYTE)
        self._augmenter = Augmenter(augmentation, preprocessing, self.classes)

    def size(self, epoch: int) -> tuple[int, int]:
        """Height and width of the images of an epoch."""
        if epoch < self.low_resolution_epochs:
            return self.low_resolution, self.low_resolution
        return self.preprocessing.height, self.preprocessing.width

    def epoch(self, index: int, first_step: int = 0) -> "tf.data.Dataset":
        """The batches of an epoch, from a step on.

        Args:
            index: Number of the epoch, from 0.
            first_step: Steps to leave out.

        Returns:
            `tf.data.Dataset` of `(images, targets)`: float32 inputs of the model
            `(batch, height, width, channels)` and float32 one-hot or mixed labels
            `(batch, classes)`. Of a divided batch it has this process's rows.
        """
        tf = tensorflow_for_data()
        order = np.random.default_rng((self.seed, index)).permutation(len(self.source))
        height, width = self.size(index)

        def load(start, end):
            return self._load(index, order[start:end], int(start), (height, width))

        def read(start, end, first, last):
            pixels, labels, key = tf.numpy_function(
                load, [start, end], [tf.uint8, tf.int32, tf.int32], stateful=False
            )
            pixels.set_shape((None, height, width, self.preprocessing.channels))
            labels.set_shape((None,))
            key.set_shape((2,))
            images, targets = self._augment(pixels, labels, key)
            return images[first:last], targets[first:last]

        rows = self.batch_size // self.shard_count
        dataset = tf.data.Dataset.from_tensor_slices(self._groups(first_step))
        dataset = dataset.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        dataset = dataset.rebatch(rows, drop_remainder=True)
        if self.teacher is not None:
            dataset = dataset.map(self._taught)
        steps = max(self.steps_per_epoch - first_step, 0)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
        return dataset.prefetch(tf.data.AUTOTUNE).with_options(data_options())

    def _groups(self, first_step):
        """int64 columns `(start, end, first, last)`.

        A group is the images from `start` to `end` of the epoch's order; rows
        from `first` to `last` of it are this process's.
        """
        rows = self.batch_size // self.shard_count
        wanted = np.arange(self.shard_index * rows, (self.shard_index + 1) * rows)
        groups = []
        for start in range(0, self.batch_size, _GROUP):
            end = min(start + _GROUP, self.batch_size)
            inside = wanted[(wanted >= start) & (wanted < end)]
            if len(inside):
                groups.append((start, end, inside[0] - start, inside[-1] + 1 - start))
        steps = np.arange(first_step, self.steps_per_epoch)
        table = np.tile(np.asarray(groups, np.int64), (len(steps), 1))
        table[:, :2] += np.repeat(steps, len(groups))[:, None] * self.batch_size
        return tuple(table.T)

    def _load(self, epoch, chosen, start, size):
        """`(pixels, labels, key)` of one group: read and cut out, in NumPy and Pillow."""
        rng = np.random.default_rng((self.seed, epoch, start + 1))
        key = random_key(rng)
        options = self.augmentation
        try:
            images = [self._reader[int(index)] for index in chosen]
        except ValueError as error:
            # TensorFlow makes an error of its own of it, many lines long.
            self.error = error
            raise
        if options.crop == "resized":
            limits = (options.crop_scale, options.crop_ratio, options.crop_interpolation)
            pixels = np.stack([random_resized_crop(image, rng, size, *limits) for image in images])
        else:
            pixels = np.stack(images)
            if options.crop == "padded":
                padding = options.padding if size == pixels.shape[1:3] else 0
                pixels = padded_crops(pixels, rng, size, padding)
        return pixels, self._labels[chosen], key

    @functools.cached_property
    def _augment(self):
        tf = tensorflow_for_data()

        # Traced once, not once for each epoch.
        @tf.function(autograph=False)
        def augment(pixels, labels, key):
            return self._augmenter(pixels, labels, GroupSeeds(key))

        return augment

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
        self._reader = ImageReader(source, self._prepare, cache_megabytes * _MEGABYTE)

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
def reading_errors(*pipelines: TrainingPipeline | EvaluationPipeline) -> Iterator[None]:
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


def tensorflow_for_data() -> ModuleType:
    """TensorFlow, kept away from the memory of GPUs that another backend trains on."""
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        # Too late if something used TensorFlow on a GPU before: then it has the memory already.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    return tf


def data_options() -> "tf.data.Options":
    """Options of every data set: work is divided among tasks, not inside operations."""
    tf = tensorflow_for_data()
    options = tf.data.Options()
    # Also keeps sums in one order, however many cores there are.
    options.threading.max_intra_op_parallelism = 1
    # Each process reads its own rows: what is divided must not be divided again.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options
