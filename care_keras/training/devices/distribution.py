"""Training on several devices and hosts, by what Keras and TensorFlow have for it.

Every device holds all weights and takes an equal share of each batch; the
gradients are those of the whole batch, and so is the loss.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from care_keras.console.cli import UserError


class Distribution:
    """One device; the others say what they do differently.

    Attributes:
        name: As in `DISTRIBUTIONS`.
        replicas: Devices of all processes.
        shard_index: Number of this process.
        shard_count: Number of processes.
    """

    name = "none"
    replicas = 1
    shard_index = 0
    shard_count = 1

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the files and talks; the others train along."""
        return self.shard_index == 0

    @property
    def local_replicas(self) -> int:
        """Devices of this process."""
        return self.replicas // self.shard_count

    def check_batch_size(self, batch_size: int) -> None:
        """Raises UserError if a batch cannot be divided."""
        if batch_size % self.replicas:
            raise UserError(
                f"--batch_size={batch_size} is for all {self.replicas} devices together, "
                "and must be divisible by their number"
            )

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """The whole of a training takes place within it."""
        yield

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Models to train are made within it."""
        yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Models that one process makes for itself are made within it."""
        yield

    def prepare(self, model: keras.Model, batch: tuple) -> None:
        """Builds every part of a compiled model, so that all state is there to be restored.

        Args:
            model: The model, made and compiled in `scope`.
            batch: A batch as this process gets it, of any values.
        """
        model._symbolic_build(data_batch=batch)

    def test_function(self, model: keras.Model) -> Callable | None:
        """A new function that runs a step of `evaluate`; `None` where Keras's own does."""
        return None

    def dataset(self, dataset, steps: int, rows: int) -> Any:
        """What `fit` and `evaluate` take.

        Args:
            dataset: This process's rows of each batch, as `tf.data.Dataset` or PyDataset.
            steps: Number of batches.
            rows: Rows of each, of this process.
        """
        return dataset

    def agree(self, numbers: tuple[int, ...]) -> bool:
        """Whether all processes have the same numbers; all must ask."""
        return True

    def __str__(self):
        if self.name == "none":
            return "one device"
        processes = f" of {self.shard_count} processes" if self.shard_count > 1 else ""
        return f"{self.name} on {self.replicas} device(s){processes}"


def example_batch(dataset) -> tuple:
    """A batch of the shapes and dtypes of a data set's; of a `tf.data.Dataset` all zeros."""
    if isinstance(dataset, keras.utils.PyDataset):
        return dataset[0]
    return tuple(
        np.broadcast_to(np.zeros((), spec.dtype.as_numpy_dtype), [size or 1 for size in spec.shape])
        for spec in dataset.element_spec
    )
