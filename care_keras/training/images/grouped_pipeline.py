"""Batches that depend on seed, epoch and step alone, made in groups of images on tf.data."""

import abc
import contextlib
import functools
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import keras
import numpy as np

from care_keras.data.record import Preprocessing
from care_keras.data.sources import Source
from care_keras.training.images.augmentation import Augmentation
from care_keras.training.images.augmenter import GroupSeeds, random_key

if TYPE_CHECKING:
    import tensorflow as tf

MEGABYTE = 2**20


class GroupedPipeline(abc.ABC):
    """Shuffled, augmented batches of `(images, targets)`.

    The content of batch `i` of epoch `e` depends on `(seed, e, i)` alone, not
    on threads, on where the epoch was entered or on how a batch is divided
    among processes. An incomplete last batch is dropped.

    A batch is made in groups of images, each by one task, so that groups of
    many batches are decoded and augmented in parallel.

    Subclasses say how a group is read (`_read`), what of it comes of chance in
    NumPy and Pillow (`_cut`), of what types and shapes that is (`_specs`), and what
    is done with it in TensorFlow (`_made`).

    Args:
        source: The images.
        preprocessing: The model's record.
        batch_size: Images per step, of all processes together.
        augmentation: What is done to the images.
        seed: Seed of order and augmentation.
        shard_index: Which share of each batch this process takes.
        shard_count: Number of equal shares.

    Attributes:
        steps_per_epoch: Batches of an epoch.
        error: Why an image could not be read, `None` before.

    Raises:
        ValueError: If there are fewer images than one batch holds, or a batch
            cannot be divided.
    """

    # Images that are augmented together, in one task of one thread.
    group = 32

    def __init__(
        self,
        source: Source,
        preprocessing: Preprocessing,
        batch_size: int,
        augmentation: Augmentation,
        seed: int = 0,
        shard_index: int = 0,
        shard_count: int = 1,
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
        self.shard_index = shard_index
        self.shard_count = shard_count
        self.steps_per_epoch = len(source) // batch_size
        self.error = None

    def size(self, epoch: int) -> tuple[int, int]:
        """Height and width of the images of an epoch."""
        return self.preprocessing.height, self.preprocessing.width

    def epoch(self, index: int, first_step: int = 0) -> "tf.data.Dataset":
        """The batches of an epoch, from a step on.

        Args:
            index: Number of the epoch, from 0.
            first_step: Steps to leave out.

        Returns:
            `tf.data.Dataset` of `(images, targets)`: float32 inputs of the model
            `(batch, height, width, channels)` and what they are to give. Of a
            divided batch it has this process's rows.
        """
        tf = tensorflow_for_data()
        order = np.random.default_rng((self.seed, index)).permutation(len(self.source))
        size = self.size(index)
        specs = [*self._specs(size), ((2,), np.int32)]

        def load(start, end):
            return self._load(index, order[start:end], int(start), size)

        def read(start, end, first, last):
            types = [dtype for _, dtype in specs]
            arrays = tf.numpy_function(load, [start, end], types, stateful=False)
            for array, (shape, _) in zip(arrays, specs, strict=True):
                array.set_shape(shape)
            images, targets = self._augment(*arrays)
            return images[first:last], targets[first:last]

        rows = self.batch_size // self.shard_count
        dataset = tf.data.Dataset.from_tensor_slices(self._groups(first_step))
        dataset = dataset.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        dataset = self._batched(dataset.rebatch(rows, drop_remainder=True))
        steps = max(self.steps_per_epoch - first_step, 0)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
        return dataset.prefetch(tf.data.AUTOTUNE).with_options(data_options())

    @abc.abstractmethod
    def _specs(self, size) -> Sequence[tuple[tuple, np.dtype]]:
        """Shape and type of each array that `_cut` gives."""

    @abc.abstractmethod
    def _read(self, index: int):
        """One image with what belongs to it; raises ValueError if it cannot be read."""

    @abc.abstractmethod
    def _cut(self, read: list, chosen: np.ndarray, rng: np.random.Generator, size) -> tuple:
        """Arrays of a group, the images first; `chosen` are its places in the source."""

    @abc.abstractmethod
    def _made(self, *arrays_and_seeds) -> tuple:
        """`(images, targets)` of tensors of those arrays, and the group's `GroupSeeds`."""

    def _batched(self, dataset):
        """What is done with whole batches."""
        return dataset

    def _groups(self, first_step):
        """int64 columns `(start, end, first, last)`.

        A group is the images from `start` to `end` of the epoch's order; rows
        from `first` to `last` of it are this process's.
        """
        rows = self.batch_size // self.shard_count
        wanted = np.arange(self.shard_index * rows, (self.shard_index + 1) * rows)
        groups = []
        for start in range(0, self.batch_size, self.group):
            end = min(start + self.group, self.batch_size)
            inside = wanted[(wanted >= start) & (wanted < end)]
            if len(inside):
                groups.append((start, end, inside[0] - start, inside[-1] + 1 - start))
        steps = np.arange(first_step, self.steps_per_epoch)
        table = np.tile(np.asarray(groups, np.int64), (len(steps), 1))
        table[:, :2] += np.repeat(steps, len(groups))[:, None] * self.batch_size
        return tuple(table.T)

    def _load(self, epoch, chosen, start, size):
        """One group's arrays, and the key of what is random about it in TensorFlow."""
        rng = np.random.default_rng((self.seed, epoch, start + 1))
        key = random_key(rng)
        try:
            read = [self._read(int(index)) for index in chosen]
        except ValueError as error:
            # TensorFlow makes an error of its own of it, many lines long.
            self.error = error
            raise
        return (*self._cut(read, chosen, rng, size), key)

    @functools.cached_property
    def _augment(self):
        tf = tensorflow_for_data()

        # Traced once, not once for each epoch.
        @tf.function(autograph=False)
        def augment(*arrays_and_key):
            *arrays, key = arrays_and_key
            return self._made(*arrays, GroupSeeds(key))

        return augment


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
