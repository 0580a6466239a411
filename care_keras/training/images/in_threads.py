"""Batches in NumPy and threads, where TensorFlow is not installed."""

import concurrent.futures
import functools
import os
import threading
from collections.abc import Callable
from typing import Self

import keras
import numpy as np

from care_keras.training.images import numpy_backend
from care_keras.training.images.engine import GROUP, Engine

# Batches that are made at once, each by all threads: what is in memory ahead of a step.
_AHEAD = 2


class InThreads(Engine):
    """Keras's preprocessing layers run on NumPy; see `Engine`.

    Random numbers of augmentation are drawn by NumPy: of the same distributions as
    TensorFlow's, but others.
    """

    name = "numpy"

    @functools.cached_property
    def _threads(self):
        return concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1)

    def epoch(self, epoch, augment, teacher) -> "Batches":
        groups = np.stack(epoch.groups, 1)
        of_step = len(groups) // epoch.steps if epoch.steps else 0
        alone = threading.Lock()

        def part(start, end, first, last):
            return tuple(array[first:last] for array in augment(*epoch.load(start, end)))

        def make(step):
            images, targets = self._joined(
                part, groups[step * of_step : (step + 1) * of_step].tolist()
            )
            if teacher is not None:
                with alone:
                    targets = np.concatenate([targets, teacher(images)], axis=1)
            return images, targets

        return Batches(epoch.steps, make)

    def evaluation(self, load, image_shape, classes, size, rows) -> "Batches":
        def part(start, end):
            images, labels = load(start, end)
            return images, self.one_hot(labels, classes)

        def make(step):
            end = min((step + 1) * rows, size)
            starts = range(step * rows, end, GROUP)
            return self._joined(part, [(start, min(start + GROUP, end)) for start in starts])

        return Batches(-(-size // rows), make)

    def _joined(self, part, arguments):
        """A batch of parts, each made by a thread."""
        parts = list(self._threads.map(part, *zip(*arguments, strict=True)))
        return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))

    def filled_up(self, dataset, rows, steps, weight) -> "Batches":
        def make(step):
            # What is added is of no weight: the images of another batch serve.
            images, targets = dataset[min(step, len(dataset) - 1)]
            count = len(images) if step < len(dataset) else 0
            places = np.arange(rows) % len(images)
            weights = np.where(np.arange(rows) < count, np.float32(weight), np.float32(0.0))
            return images[places], targets[places], weights

        return Batches(steps, make)

    def compiled(self, augment) -> Callable[..., tuple]:
        def function(*arrays_and_key):
            *arrays, key = arrays_and_key
            # As elsewhere, an image of one colour has no contrast to stretch.
            with np.errstate(divide="ignore", invalid="ignore"):
                return augment(*arrays, NumpySeeds(key))

        return function

    def adopt(self, layer) -> None:
        layer.backend = numpy_backend

    def normal(self, shape, seeds) -> np.ndarray:
        return numpy_backend.random.normal(shape, seed=seeds)

    def one_hot(self, labels, classes) -> np.ndarray:
        return np.eye(classes, dtype=np.float32)[labels]

    def floats(self, pixels) -> np.ndarray:
        return pixels.astype(np.float32)

    def one_of(self, share, chosen, other, seeds) -> tuple:
        return chosen() if numpy_backend.random.uniform((), seed=seeds) < share else other()

    def by_rows(self, images, branches, arguments) -> np.ndarray:
        result = images.copy()
        for function, chosen in branches:
            (rows,) = np.nonzero(chosen)
            if len(rows):
                result[rows] = function(*(argument[rows] for argument in arguments))
        return result

    def histograms(self, values, count) -> np.ndarray:
        return np.bincount(values.ravel(), minlength=count * 256).reshape(-1, 256).astype(np.int32)


class NumpySeeds(keras.random.SeedGenerator):
    """Generators that depend on a key and on how many were drawn before, and on nothing else.

    Args:
        key: Two int32 numbers.
    """

    # The base class makes a variable.
    def __init__(self, key):
        self.key = tuple(int(part) for part in key)
        self.drawn = 0

    def generator(self) -> np.random.Generator:
        """The next one."""
        self.drawn += 1
        return np.random.default_rng((*self.key, self.drawn))


class Batches(keras.utils.PyDataset):
    """Batches that `fit` and `evaluate` take, made in their order while earlier ones are used.

    Args:
        steps: How many they are.
        make: `make(step)` gives one, a tuple of NumPy arrays; threads may call it.
    """

    def __init__(self, steps: int, make: Callable[[int], tuple[np.ndarray, ...]]):
        super().__init__(workers=_AHEAD, max_queue_size=_AHEAD)
        self._steps = steps
        self._make = make

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        return self._make(index)

    def take(self, count: int) -> Self:
        """The first batches."""
        return Batches(min(count, self._steps), self._make)
