"""What a run trains: the model, its batches, and how its outputs are judged."""

import contextlib
import dataclasses

import keras
import numpy as np

from care_keras.cli import UserError
from care_keras.data.sources import Source, open_source
from care_keras.models import CONFIGS, build_model
from care_keras.models.loading import load_any
from care_keras.quantization import layer_overrides
from care_keras.training.batches import EvaluationBatches, load_pixels
from care_keras.training.config import TrainingConfig
from care_keras.training.distribution import Distribution
from care_keras.training.evaluation import Evaluation
from care_keras.training.input_pipeline import TrainingPipeline, reading_errors
from care_keras.training.loop import TrainingData
from care_keras.training.qat import (
    DistillationBatches,
    DistillationLoss,
    Teacher,
    label_accuracy,
    quantized_start,
)


@dataclasses.dataclass(frozen=True)
class Task:
    """What a run trains.

    Attributes:
        model: Not compiled.
        training: Batches to train on.
        evaluation: Images to evaluate on.
        loss: Of the batches' targets.
        metric: Accuracy of the batches' targets, named `accuracy`.
        pipelines: Where images are read while training.
    """

    model: keras.Model
    training: TrainingData
    evaluation: Evaluation
    loss: keras.losses.Loss
    metric: keras.metrics.Metric
    pipelines: tuple = ()

    def reading_errors(self) -> contextlib.AbstractContextManager:
        """Makes an image that cannot be read one line that names it."""
        return reading_errors(*self.pipelines)


def open_sources(config: TrainingConfig) -> tuple[Source, Source]:
    """Images to train and to evaluate on.

    Raises:
        UserError: If they cannot be used for that.
    """
    try:
        train_source = open_source(config.data, config.train_split)
        eval_source = open_source(config.data, config.eval_split)
    except ValueError as error:
        raise UserError(str(error)) from error
    for source in (train_source, eval_source):
        if source.labels is None:
            raise UserError(f"{source.name} has no labels to train or evaluate with")
    if train_source.class_names != eval_source.class_names:
        raise UserError(f"{train_source.name} and {eval_source.name} have different classes")
    if set(train_source.item_names) & set(eval_source.item_names):
        raise UserError(
            f"{train_source.name} and {eval_source.name} share images: evaluation needs others "
            "than training, by --train_split and --eval_split"
        )
    if len(train_source) < config.batch_size:
        raise UserError(
            f"--batch_size={config.batch_size} is more than the {len(train_source)} images "
            f"of {train_source.name}"
        )
    return train_source, eval_source


def float_task(
    config: TrainingConfig, train_source: Source, eval_source: Source, distribution: Distribution
) -> Task:
    """A classifier, from random weights or those of `--from`."""
    model = build_model(
        CONFIGS[config.model],
        classes=len(train_source.class_names),
        classifier_activation=None,
        drop_path_rate=config.drop_path,
        labels=train_source.class_names,
    )
    _check_low_resolution(config, model)
    if config.start_from:
        _start_from(config, model)
    training = TrainingPipeline(
        train_source,
        model.preprocessing,
        config.batch_size,
        seed=config.seed,
        low_resolution=config.low_resolution,
        low_resolution_epochs=config.low_resolution_epochs,
        shard_index=distribution.shard_index,
        shard_count=distribution.shard_count,
    )
    evaluation = Evaluation(eval_source, model.preprocessing, distribution)
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=config.label_smoothing
    )
    metric = keras.metrics.CategoricalAccuracy(name="accuracy")
    return Task(model, training, evaluation, loss, metric, (training, evaluation.pipeline))


def quantized_task(
    config: TrainingConfig, train_source: Source, eval_source: Source, distribution: Distribution
) -> Task:
    """The quantized form of `--from`, taught by the float form of it."""
    if not config.start_from:
        raise UserError("--qat needs --from=M.keras, the trained model to quantize")
    if config.low_resolution_epochs:
        raise UserError("--qat trains at the model's own size: leave --low_resolution_epochs out")
    if distribution.replicas > 1:
        raise UserError("--qat trains on one device: leave --distribute out")
    start = _load_start(config)
    if getattr(start, "preprocessing", None) is None:
        raise UserError(f"--from={config.start_from} does not say how its images are prepared")
    if getattr(start, "labels", None) not in (None, train_source.class_names):
        raise UserError(f"--from={config.start_from} has other classes than {train_source.name}")
    try:
        train_pixels, eval_pixels = (
            load_pixels(source, start.preprocessing) for source in (train_source, eval_source)
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    print("calibrating", flush=True)
    model, deployed = quantized_start(
        start,
        train_pixels,
        config.seed,
        layer_overrides(config.float_layers, config.int16_layers),
    )
    alpha = config.distillation if deployed is not None else 0.0
    classes = len(train_source.class_names)
    teacher = Teacher(deployed) if alpha else None

    def batches(epoch):
        return DistillationBatches(
            train_pixels,
            train_source.labels,
            model.preprocessing,
            config.batch_size,
            config.seed,
            first_epoch=epoch,
            teacher=teacher,
            classes=classes,
        )

    evaluation = EvaluationBatches(
        eval_pixels, np.asarray(eval_source.labels)[:, None], model.preprocessing, 250
    )
    return Task(
        model,
        _EpochsOfBatches(batches, len(train_source) // config.batch_size),
        _Batches(evaluation, eval_source.name, len(eval_source)),
        DistillationLoss(classes, alpha, config.label_smoothing),
        keras.metrics.MeanMetricWrapper(label_accuracy, name="accuracy"),
    )


class _EpochsOfBatches:
    """Batches by index, as `TrainingData`."""

    def __init__(self, batches, steps_per_epoch):
        self._batches = batches
        self.steps_per_epoch = steps_per_epoch

    def epoch(self, index, first_step=0):
        return _FromStep(self._batches(index), first_step)


class _FromStep(keras.utils.PyDataset):
    def __init__(self, batches, first_step):
        super().__init__()
        self._batches = batches
        self._first_step = first_step

    def __len__(self):
        return len(self._batches) - self._first_step

    def __getitem__(self, index):
        return self._batches[self._first_step + index]


@dataclasses.dataclass(frozen=True)
class _Batches:
    batches: keras.utils.PyDataset
    name: str
    images: int

    def dataset(self):
        return self.batches


def _check_low_resolution(config, model):
    largest = min(model.preprocessing.height, model.preprocessing.width)
    smallest = model.backbone.min_image_size
    if config.low_resolution_epochs > 0 and not smallest <= config.low_resolution <= largest:
        raise UserError(
            f"--low_resolution must be from {smallest} to {largest} pixels for "
            f"--model={config.model}, not {config.low_resolution}"
        )


def _load_start(config):
    try:
        return load_any(config.start_from)
    except ValueError as error:
        raise UserError(str(error)) from error


def _start_from(config, model):
    """Gives the model the weights of another file."""
    start = _load_start(config)
    try:
        model.set_weights(start.get_weights())
    except ValueError as error:
        raise UserError(
            f"--from={config.start_from} holds another model than --model={config.model} with "
            f"{model.classes} classes"
        ) from error
