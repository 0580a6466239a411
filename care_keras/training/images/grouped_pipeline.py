"""Batches that depend on seed, epoch and step alone, made in groups of images."""

import abc
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from care_keras.data.record import Preprocessing
from care_keras.data.sources import Source
from care_keras.training.images.augmentation import Augmentation
from care_keras.training.images.choose_engine import choose_engine
from care_keras.training.images.engine import Engine, GroupedEpoch, random_key

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
    is done with it by the engine (`_made`).

    Args:
        source: The images.
        preprocessing: The model's record.
        batch_size: Images per step, of all processes together.
        augmentation: What is done to the images.
        seed: Seed of order and augmentation.
        shard_index: Which share of each batch this process takes.
        shard_count: Number of equal shares.
        engine: What the batches are computed with; tf.data by default, where
            TensorFlow is installed. Its random numbers are its own.

    Attributes:
        steps_per_epoch: Batches of an epoch.
        error: Why an image could not be read, `None` before.

    Raises:
        ValueError: If there are fewer images than one batch holds, or a batch
            cannot be divided.
    """

    # Images that are augmented together, in one task of one thread.
    group = 32
    # What gives logits that stand behind a batch's targets.
    teacher: Callable[[np.ndarray], np.ndarray] | None = None

    def __init__(
        self,
        source: Source,
        preprocessing: Preprocessing,
        batch_size: int,
        augmentation: Augmentation,
        seed: int = 0,
        shard_index: int = 0,
        shard_count: int = 1,
        engine: Engine | None = None,
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
        self.engine = engine or choose_engine()
        self.error = None

    def size(self, epoch: int) -> tuple[int, int]:
        """Height and width of the images of an epoch."""
        return self.preprocessing.height, self.preprocessing.width

    def epoch(self, index: int, first_step: int = 0) -> Any:
        """The batches of an epoch, from a step on.

        Args:
            index: Number of the epoch, from 0.
            first_step: Steps to leave out.

        Returns:
            What `fit` takes, `tf.data.Dataset` or `Batches`, of `(images, targets)`:
            float32 inputs of the model `(batch, height, width, channels)` and what
            they are to give. Of a divided batch it has this process's rows.
        """
        order = np.random.default_rng((self.seed, index)).permutation(len(self.source))
        size = self.size(index)

        def load(start, end):
            return self._load(index, order[start:end], int(start), size)

        made_of = GroupedEpoch(
            groups=self._groups(first_step),
            load=load,
            specs=[*self._specs(size), ((2,), np.int32)],
            rows=self.batch_size // self.shard_count,
            steps=max(self.steps_per_epoch - first_step, 0),
        )
        return self.engine.epoch(made_of, self._augment, self.teacher)

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
        """`(images, targets)` of those arrays, as the engine has them, and the group's seeds."""

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
        """One group's arrays, and the key of what is random about it in the engine."""
        rng = np.random.default_rng((self.seed, epoch, start + 1))
        key = random_key(rng)
        try:
            read = [self._read(int(index)) for index in chosen]
        except ValueError as error:
            # tf.data makes an error of its own of it, many lines long.
            self.error = error
            raise
        return (*self._cut(read, chosen, rng, size), key)

    @functools.cached_property
    def _augment(self):
        return self.engine.compiled(self._made)
