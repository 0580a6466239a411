"""What segmentation and detection share as tasks: the network, its start, and how it is judged."""

import abc
import contextlib
import dataclasses
import functools
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from care_keras.console.cli import UserError
from care_keras.console.flag_values import parse_size
from care_keras.console.progress import progress
from care_keras.data.preprocessing import prepare, resize_and_crop
from care_keras.data.record import Preprocessing
from care_keras.data.sources import Source
from care_keras.detection.drawing import below
from care_keras.loading import load_any
from care_keras.models import CAREBackbone
from care_keras.quantization import freeze, is_quantized, layer_overrides
from care_keras.training.config import TrainingConfig
from care_keras.training.devices.distribution import Distribution
from care_keras.training.recipe import model_config
from care_keras.training.task import CALIBRATION_IMAGES, Task
from care_keras.training.teaching.qat import quantized_for_training
from care_keras.training.teaching.weight_averages import WeightAverages

# Images that are evaluated at once.
_BATCH = 8
# Batches from which on progress is shown.
_MANY = 100
# A layer scale that a training from scratch moves: the published 1e-6 is for 300 epochs.
_LEAST_LAYER_SCALE = 0.1
# Pictures of predictions.
_PICTURES = 8
# What goes with classification alone, and changes nothing here without a word.
_CLASSIFICATION = (
    "teacher",
    "rand_augment",
    "random_erasing",
    "mixup",
    "cutmix",
    "low_resolution_epochs",
)


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
        judge: How they are judged.
        eval_source: Images to evaluate on.
        record: How they are prepared.
        start: Of quantization-aware training: the float model.
    """

    judge: Judge
    eval_source: Source
    record: Preprocessing
    start: keras.Model | None = None

    @property
    def figure(self) -> str:
        return self.judge.figure

    def validation(self) -> None:
        """Nothing that `fit` could evaluate."""

    def callbacks(
        self, averages: WeightAverages, every: int, distribution: Distribution
    ) -> list[keras.callbacks.Callback]:
        return [_EvaluateApart(self, averages, every, distribution)]

    def figures(self, distribution: Distribution) -> dict[str, float]:
        with distribution.alone():
            apart = self._apart
            apart.set_weights(self.model.get_weights())
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

    def _prepared(self, index):
        return prepare(readable(self.eval_source.__getitem__, index), self.record)

    def _judged(self, model):
        return self.judge.figures(self.eval_source, self._outputs(model))

    def _outputs(self, model):
        def outputs(indices):
            images = np.stack([self._prepared(index) for index in indices])
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
        if (epoch + 1) % self._every:
            return
        with self._averages.in_place():
            figures = self._task.figures(self._distribution)
        # What there are no such objects or pixels for is no figure.
        known = {name: value for name, value in figures.items() if value is not None}
        logs.update({f"val_{name}": value for name, value in known.items()})


def open_pair(open_one: Callable[[str], Source], config: TrainingConfig) -> tuple[Source, Source]:
    """Images to train and to evaluate on.

    Args:
        open_one: `open_one(split)` opens a split.
        config: The run's settings.

    Raises:
        UserError: If they cannot be used for that.
    """
    for name in _CLASSIFICATION:
        if getattr(config, name):
            raise UserError(f"--{name} goes with --task=classification, not {config.task}")
    try:
        train, evaluation = open_one(config.train_split), open_one(config.eval_split)
    except ValueError as error:
        raise UserError(str(error)) from error
    if train.class_names != evaluation.class_names:
        raise UserError(f"{train.name} and {evaluation.name} have different classes")
    if set(train.item_names) & set(evaluation.item_names):
        raise UserError(
            f"{train.name} and {evaluation.name} share images: evaluation needs others than "
            "training, by --train_split and --eval_split"
        )
    return train, evaluation


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Makes what the library says of a setting a user's error."""
    try:
        yield
    except ValueError as error:
        raise UserError(str(error)) from error


def record_of(config: TrainingConfig) -> Preprocessing:
    """How the images of a new network are prepared: all of an image, at `--size`.

    Raises:
        UserError: If `--size` is no size.
    """
    base = model_config(config).preprocessing
    size = parse_size(config.size or None) or (base.height, base.width)
    return dataclasses.replace(
        base, height=size[0], width=size[1], fit="stretch", interpolation="bilinear"
    )


def backbone_of(config: TrainingConfig, dtype: str) -> CAREBackbone:
    """The backbone that `--model` names, of random weights."""
    arguments = model_config(config).backbone_kwargs()
    arguments["layer_scale_init"] = max(arguments["layer_scale_init"], _LEAST_LAYER_SCALE)
    return CAREBackbone(
        **arguments,
        drop_path_rate=config.drop_path,
        image_shape=(None, None, 3),
        dtype=dtype,
        name="backbone",
    )


def start_from(config: TrainingConfig, model: keras.Model) -> None:
    """Gives a network the weights of `--from`, or its backbone those of the backbone in it.

    Raises:
        UserError: If they do not fit.
    """
    start = _load(config)
    try:
        if isinstance(start, type(model)) and start.classes == model.classes:
            model.set_weights(start.get_weights())
            return
        backbone = start if isinstance(start, CAREBackbone) else getattr(start, "backbone", None)
        if backbone is None:
            raise ValueError
        model.backbone.set_weights(backbone.get_weights())
    except ValueError as error:
        raise UserError(
            f"--from={config.start_from} holds no backbone as --model={config.model} has it"
        ) from error
    print(f"weights of the backbone: {config.start_from}", file=sys.stderr)


def load_trained(config: TrainingConfig, kind: type, source: Source) -> keras.Model:
    """The network of `--from`, to train on for int8.

    Raises:
        UserError: If it is none of the task's, or of other classes.
    """
    if not config.start_from:
        raise UserError("--qat needs --from, the trained model")
    start = _load(config)
    if not isinstance(start, kind):
        raise UserError(
            f"--from={config.start_from} is no {kind.__name__}, which --task={config.task} trains"
        )
    if start.preprocessing is None:
        raise UserError(f"--from={config.start_from} does not say how its images are prepared")
    if start.classes != len(source.class_names) or start.labels not in (None, source.class_names):
        raise UserError(f"--from={config.start_from} has other classes than {source.name}")
    return start


def quantized_of(config: TrainingConfig, start: keras.Model, source: Source) -> keras.Model:
    """The quantized form of a trained network, calibrated on images to train on.

    Raises:
        UserError: If it has layers without an int8 form, or the images cannot be read.
    """
    chosen = source.sample(CALIBRATION_IMAGES, config.seed)
    try:
        pixels = np.stack(
            [resize_and_crop(chosen[i], start.preprocessing) for i in range(len(chosen))]
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    overrides = layer_overrides(config.float_layers, config.int16_layers)
    return quantized_for_training(start, pixels, overrides)


def _load(config):
    try:
        return load_any(os.fspath(config.start_from))
    except ValueError as error:
        raise UserError(str(error)) from error
