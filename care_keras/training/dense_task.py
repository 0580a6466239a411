"""What segmentation and detection share as tasks: the network, its start, and how it is judged."""

import abc
import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from care_keras.console.cli import UserError
from care_keras.console.progress import progress
from care_keras.data.preprocessing import prepare
from care_keras.data.sources import Source
from care_keras.detection.drawing import below
from care_keras.loading import load_any
from care_keras.quantization import freeze, is_quantized
from care_keras.training.devices.distribution import Distribution
from care_keras.training.run.loop import is_evaluated
from care_keras.training.task import Task
from care_keras.training.teaching.weight_averages import WeightAverages

# Images that are evaluated at once.
_BATCH = 8
# Batches from which on progress is shown.
_MANY = 100
# Pictures of predictions.
_PICTURES = 8


@dataclasses.dataclass(frozen=True)
class Judged:
    """What a run is evaluated on.

    Attributes:
        name: Of the images, for people.
        images: How many they are.
    """

    name: str
    images: int


class Judge(abc.ABC):
    """How a task's outputs are judged on images with known answers.

    Attributes:
        figure: The name of the figure that says which model is the best.
    """

    figure: str

    @abc.abstractmethod
    def figures(self, source: Source, outputs: Callable) -> dict[str, float | None]:
        """All figures of a network, `None` where there is nothing to judge.

        Args:
            source: Images.
            outputs: `outputs(indices)` gives the network's outputs for some of them, as a
                list of arrays.
        """

    @abc.abstractmethod
    def picture(self, image: np.ndarray, outputs: list[np.ndarray], source, index) -> np.ndarray:
        """uint8 RGB: an image, with what was found in it beside what is known."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseTask(Task):
    """A task whose outputs are judged outside of Keras; see `Task`.

    Attributes:
        network: What `model` trains: it may have outputs besides, and layers that none of
            `model`'s outputs needs.
        judge: How they are judged.
        eval_source: Images to evaluate on.
        start: Of quantization-aware training: the float model.
    """

    network: keras.Model
    judge: Judge
    eval_source: Source
    start: keras.Model | None = None

    @property
    def figure(self) -> str:
        return self.judge.figure

    def weights(self) -> list[np.ndarray]:
        return self.network.get_weights()

    def validation(self) -> None:
        """Nothing that `fit` could evaluate."""

    def callbacks(
        self, averages: WeightAverages, every: int, distribution: Distribution
    ) -> list[keras.callbacks.Callback]:
        return [_EvaluateApart(self, averages, every, distribution)]

    def figures(self, distribution: Distribution) -> dict[str, float]:
        with distribution.alone():
            apart = self._apart
            apart.set_weights(self.weights())
            if is_quantized(apart):
                freeze(apart)
            return self._judged(apart)

    @functools.cached_property
    def _apart(self):
        """The network once more, whose function to predict with is compiled once."""
        return self.blank()

    def float_figures(self) -> dict[str, float] | None:
        return None if self.start is None else self._judged(self.start)

    def pictures(self, path: os.PathLike) -> np.ndarray:
        outputs = self._outputs(load_any(path))
        chosen = np.linspace(0, len(self.eval_source) - 1, _PICTURES).astype(int)
        return below(
            [self._picture(int(index), outputs([int(index)])) for index in np.unique(chosen)]
        )

    def _picture(self, index, outputs):
        found = [values[0] for values in outputs]
        return self.judge.picture(self.eval_source[index], found, self.eval_source, index)

    def _judged(self, model):
        return self.judge.figures(self.eval_source, self._outputs(model))

    def _outputs(self, model):
        # Each its own: a quantized form takes raw pixels where its network takes normalized ones.
        record, read = model.preprocessing, self.eval_source.__getitem__

        def outputs(indices):
            images = np.stack([prepare(readable(read, index), record) for index in indices])
            # Always as many, so that one function is compiled.
            filled = np.concatenate([images, np.zeros_like(images[:1]).repeat(_BATCH, 0)])[:_BATCH]
            values = keras.tree.flatten(model.predict_on_batch(filled))
            return [np.asarray(value)[: len(images)] for value in values]

        return outputs

    @contextlib.contextmanager
    def reading_errors(self) -> Iterator[None]:
        with super().reading_errors():
            try:
                yield
            except _UnreadableError as error:
                raise UserError(str(error)) from error


class _UnreadableError(ValueError):
    """An image to evaluate on, or what is known of it, cannot be read."""


def readable(read: Callable[[int], Any], index: int) -> Any:
    """What a source's `read(index)` gives; its ValueErrors are told from all others."""
    try:
        return read(index)
    except ValueError as error:
        raise _UnreadableError(str(error)) from error


def in_batches(source: Source, outputs: Callable) -> Iterator[tuple[int, list[np.ndarray]]]:
    """`(index, outputs of that image)` for all images of a source."""
    starts = range(0, len(source), _BATCH)
    # Of few images it would be told at every epoch.
    for start in progress(starts, "evaluating") if len(starts) > _MANY else starts:
        indices = range(start, min(start + _BATCH, len(source)))
        values = outputs(indices)
        for place, index in enumerate(indices):
            yield index, [value[place] for value in values]


class _EvaluateApart(keras.callbacks.Callback):
    """Adds a task's figures to those of an epoch that ends."""

    def __init__(self, task, averages, every, distribution):
        super().__init__()
        self._task, self._averages, self._every = task, averages, every
        self._distribution = distribution

    def on_train_batch_end(self, batch, logs=None) -> None:
        self._averages.forget()

    def on_epoch_end(self, epoch, logs=None) -> None:
        if not is_evaluated(epoch, self.params["epochs"], self._every):
            return
        with self._averages.in_place():
            figures = self._task.figures(self._distribution)
        # What there are no such objects or pixels for is no figure.
        known = {name: value for name, value in figures.items() if value is not None}
        logs.update({f"val_{name}": value for name, value in known.items()})
