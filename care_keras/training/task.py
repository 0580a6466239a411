"""What a run trains: the model, its batches, and how its outputs are judged."""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from care_keras.console.cli import UserError
from care_keras.console.flag_values import parse_size
from care_keras.console.progress import say
from care_keras.convert.preprocessing import model_preprocessing
from care_keras.data.overrides import InputOverrides
from care_keras.data.preprocessing import resize_and_crop
from care_keras.data.record import Preprocessing
from care_keras.data.sources import Source, open_source
from care_keras.loading import load_any
from care_keras.models import CAREClassifier, build_model
from care_keras.models.keras_file import check_keras_file
from care_keras.models.presets import PRESETS
from care_keras.quantization import layer_overrides
from care_keras.training.config import TrainingConfig
from care_keras.training.devices.distribution import Distribution
from care_keras.training.images.choose_engine import choose_engine
from care_keras.training.images.evaluation import Evaluation
from care_keras.training.images.input_pipeline import TrainingPipeline, reading_errors
from care_keras.training.recipe import model_config
from care_keras.training.run.loop import TrainingData
from care_keras.training.teaching.distillation import TaughtClassifier, load_teacher
from care_keras.training.teaching.qat import (
    DistillationLoss,
    Teacher,
    label_accuracy,
    quantized_start,
)
from care_keras.training.teaching.weight_averages import EvaluateAverages, WeightAverages
from care_keras.weights.cache import fetch

# Enough for the observers; more change nothing that training does not.
CALIBRATION_IMAGES = 256


@dataclasses.dataclass(frozen=True)
class Task:
    """What a run trains.

    Attributes:
        model: Not compiled.
        training: Batches to train on.
        evaluation: Images to evaluate on: at least their `name`, and how many `images` they are.
        loss: Of the batches' targets.
        metrics: Of the batches' targets, for each epoch.
        pipelines: Where images are read while training.
        blank: `blank()` makes the float32 model to save, which takes `weights()`.
        float_logits: Of quantization-aware training: the float model's logits
            for images of the evaluation.
    """

    model: keras.Model
    training: TrainingData
    evaluation: Evaluation
    loss: keras.losses.Loss
    metrics: tuple[keras.metrics.Metric, ...]
    pipelines: tuple
    blank: Callable[[], keras.Model]
    float_logits: Callable[[np.ndarray], np.ndarray] | None = None

    @property
    def figure(self) -> str:
        """The figure that says which model is the best; larger is better."""
        return "accuracy"

    def weights(self) -> list[np.ndarray]:
        """What has been trained, for what `blank` makes."""
        return self.model.get_weights()

    def validation(self) -> Any:
        """What `fit` evaluates after an epoch, if it does."""
        return self.evaluation.dataset()

    def callbacks(
        self, averages: WeightAverages, every: int, distribution: Distribution
    ) -> list[keras.callbacks.Callback]:
        """What a task does besides, after each epoch.

        Args:
            averages: Of the weights, which are evaluated.
            every: Epochs between evaluations.
            distribution: The devices.
        """
        return [EvaluateAverages(averages)]

    def figures(self, distribution: Distribution) -> dict[str, float]:
        """The figures of `model` as it is now."""
        return self.model.evaluate(self.evaluation.dataset(), return_dict=True, verbose=0)

    def float_figures(self) -> dict[str, float] | None:
        """The same of the float model that int8 is trained from, if it is."""
        if self.float_logits is None:
            return None
        right = count = 0
        for images, targets in self.evaluation.pipeline.dataset():
            logits = self.float_logits(np.asarray(images))
            labels = np.asarray(targets)[:, : logits.shape[-1]].argmax(-1)
            right += np.sum(logits.argmax(-1) == labels)
            count += len(labels)
        return {"accuracy": right / count}

    def pictures(self, path: os.PathLike) -> np.ndarray | None:
        """A picture of what a trained model, in a file, finds; `None` of classifiers."""

    def reading_errors(self) -> contextlib.AbstractContextManager:
        """Makes an image that cannot be read one line that names it."""
        return reading_errors(*self.pipelines)


# Of a folder without splits: the share of each class that is evaluated on.
_HELD_OUT = 0.2


def open_sources(config: TrainingConfig) -> tuple[Source, Source]:
    """Images to train and to evaluate on.

    One folder of class folders is divided, a fifth of each class held out,
    always the same one.

    Raises:
        UserError: If they cannot be used for that.
    """
    train_source = _open_labelled(config.data, config.train_split)
    eval_source = _open_labelled(config.data, config.eval_split)
    if train_source.class_names != eval_source.class_names:
        raise UserError(f"{train_source.name} and {eval_source.name} have different classes")
    undivided = os.path.isdir(config.data) and config.train_split != config.eval_split
    if undivided and train_source.item_names == eval_source.item_names:
        return _divided(train_source)
    if set(train_source.item_names) & set(eval_source.item_names):
        raise UserError(
            f"{train_source.name} and {eval_source.name} share images: evaluation needs others "
            "than training, by --train_split and --eval_split"
        )
    return train_source, eval_source


def _divided(source):
    """Images to train on and others to evaluate on, of one folder."""
    held_out = np.zeros(len(source), bool)
    random = np.random.default_rng(0)
    for label in range(len(source.class_names)):
        (of_class,) = np.nonzero(source.labels == label)
        count = int(len(of_class) * _HELD_OUT) or min(1, len(of_class) - 1)
        held_out[random.permutation(of_class)[:count]] = True
    if not held_out.any():
        raise UserError(f"{source.name} has one image a class: none is left to evaluate on")
    train, evaluation = (np.nonzero(part)[0] for part in (~held_out, held_out))
    return source.take(train), source.take(evaluation, f"{source.name} (held out)")


def fitted(config: TrainingConfig, source: Source) -> TrainingConfig:
    """The settings, with a batch of no more than all images."""
    if len(source) >= config.batch_size:
        return config
    print(
        f"warning: --batch_size={config.batch_size} is cut to the {len(source)} images of "
        f"{source.name}",
        file=sys.stderr,
    )
    return dataclasses.replace(config, batch_size=len(source))


def check_model_files(config: TrainingConfig) -> None:
    """Looks at the files of `--from` and `--teacher` before the run's folder is made.

    Published weights are downloaded, if they are not there yet.

    Raises:
        UserError: If one cannot be had, or must not be loaded; see `check_keras_file`.
    """
    for path in filter(None, (config.start_from, config.teacher)):
        preset = PRESETS.get(path)
        try:
            if preset and preset.published:
                fetch(preset.published)
            elif not preset and os.path.isfile(path) and path.endswith(".keras"):
                check_keras_file(path)
        except ValueError as error:
            raise UserError(str(error)) from error


def _open_labelled(data, split):
    try:
        source = open_source(data, split)
    except ValueError as error:
        raise UserError(str(error)) from error
    if source.labels is None:
        raise UserError(f"{source.name} has no labels to train or evaluate with")
    if len(source.class_names) < 2:
        raise UserError(
            f"{source.name} has one class alone, {source.class_names[0]!r}: a folder must have a "
            "subfolder of images for each class"
        )
    return source


def float_task(
    config: TrainingConfig, train_source: Source, eval_source: Source, distribution: Distribution
) -> Task:
    """A classifier, from random weights or those of `--from`, with a teacher or without."""

    def build(dtype: str = "float32") -> CAREClassifier:
        return build_model(
            model_config(config),
            classes=len(train_source.class_names),
            classifier_activation=None,
            drop_path_rate=config.drop_path,
            labels=train_source.class_names,
            dtype=dtype,
        )

    model = build(config.dtype)
    _check_low_resolution(config, model)
    if config.teacher:
        model = _taught(config, model, distribution)
    if config.start_from:
        _start_from(config, model)
    training = training_pipeline(config, train_source, model.preprocessing, distribution)
    evaluation = Evaluation(eval_source, model.preprocessing, distribution, engine=training.engine)
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=config.label_smoothing
    )
    metrics = (keras.metrics.CategoricalAccuracy(name="accuracy"),)
    pipelines = (training, evaluation.pipeline)
    return Task(model, training, evaluation, loss, metrics, pipelines, build)


def quantized_task(
    config: TrainingConfig, train_source: Source, eval_source: Source, distribution: Distribution
) -> Task:
    """The quantized form of `--from`, taught by the float form of it."""
    if not config.start_from:
        raise UserError("--qat needs --from=M.keras, the trained model to quantize")
    if config.low_resolution_epochs:
        raise UserError("--qat trains at the model's own size: leave --low_resolution_epochs out")
    if config.teacher:
        raise UserError("--qat is taught by the float form of --from: leave --teacher out")
    if config.dtype != "float32":
        raise UserError(f"--qat trains in float32: leave --dtype={config.dtype} out")
    start = _load_start(config)
    _check_inputs(config, start)
    start.preprocessing = _preprocessing(config, start, distribution)
    _check_classes(config, start, train_source)
    if start.preprocessing.channels == 1 and config.rand_augment:
        raise UserError("--rand_augment is for RGB images, and --from takes grey ones")
    if distribution.is_chief:
        say("calibrating")
    quantized = quantized_start(
        start,
        _calibration_pixels(config, train_source, start.preprocessing),
        layer_overrides(config.float_layers, config.int16_layers),
    )
    model, student = quantized.model, quantized.student
    if model.labels is None:
        model.labels = student.labels = train_source.class_names
    alpha = config.distillation if quantized.teacher is not None else 0.0
    teacher = Teacher(quantized.teacher).logits if alpha else None
    training = training_pipeline(config, train_source, model.preprocessing, distribution, teacher)
    evaluation = Evaluation(eval_source, model.preprocessing, distribution, engine=training.engine)
    return Task(
        student,
        training,
        evaluation,
        DistillationLoss(training.classes, alpha, config.label_smoothing),
        (keras.metrics.MeanMetricWrapper(label_accuracy, name="accuracy"),),
        (training, evaluation.pipeline),
        lambda: type(model).from_config(model.get_config()),
        teacher,
    )


def _check_inputs(config, start):
    """Refuses what a folder of photos has not all examples of."""
    if len(start.inputs) > 1:
        names = ", ".join(repr(tensor.name) for tensor in start.inputs)
        raise UserError(
            f"--qat trains models of one input, images of --data, and --from={config.start_from} "
            f"has {len(start.inputs)}, {names}: python -m care_keras.convert --int8 quantizes it "
            "without training"
        )


def _preprocessing(config, start, distribution):
    """How the images of `--from` are prepared."""
    warnings: list[str] = []
    said = InputOverrides(
        size=parse_size(config.size or None),
        mean=config.mean or None,
        std=config.std or None,
        interpolation=None if config.interpolation == "auto" else config.interpolation,
        fit=None if config.fit == "auto" else config.fit,
    )
    try:
        record = model_preprocessing(start, said, warnings)
    except ValueError as error:
        raise UserError(f"--from={config.start_from}: {error}") from error
    for warning in warnings if distribution.is_chief else ():
        print(f"warning: {warning}", file=sys.stderr)
    return record


def _check_classes(config, start, source):
    labels, classes = getattr(start, "labels", None), len(source.class_names)
    outputs = start.outputs[0].shape[-1]
    if labels is not None and tuple(labels) != source.class_names:
        raise UserError(f"--from={config.start_from} has other classes than {source.name}")
    if outputs != classes:
        raise UserError(
            f"--from={config.start_from} has {outputs} classes, and {source.name} has {classes}"
        )


def training_pipeline(
    config: TrainingConfig,
    source: Source,
    preprocessing: Preprocessing,
    distribution: Distribution,
    teacher: Callable | None = None,
) -> TrainingPipeline:
    """The batches of a run; see `TrainingPipeline`."""
    return TrainingPipeline(
        source,
        preprocessing,
        config.batch_size,
        config,
        seed=config.seed,
        low_resolution=config.low_resolution,
        low_resolution_epochs=config.low_resolution_epochs,
        shard_index=distribution.shard_index,
        shard_count=distribution.shard_count,
        cache_megabytes=config.cache_megabytes,
        teacher=teacher,
        engine=choose_engine(config.input_pipeline),
    )


def _taught(config, model, distribution):
    """The model as one that learns from `--teacher`."""
    model = TaughtClassifier.from_config(model.get_config())
    size = parse_size(config.teacher_size or None, "teacher_size")
    teacher, lines = load_teacher(
        config.teacher, model, size, config.teacher_mean or None, config.teacher_std or None
    )
    for line in lines if distribution.is_chief else ():
        say(line)
    model.learn_from(
        teacher, config.distillation_kind, config.distillation, config.distillation_temperature
    )
    return model


def _calibration_pixels(config, source, preprocessing):
    source = source.sample(CALIBRATION_IMAGES, config.seed)
    try:
        return np.stack([resize_and_crop(source[i], preprocessing) for i in range(len(source))])
    except ValueError as error:
        raise UserError(str(error)) from error


def _check_low_resolution(config, model):
    largest = min(model.preprocessing.height, model.preprocessing.width)
    smallest = model.backbone.min_image_size
    if config.low_resolution_epochs > 0 and config.crop == "none":
        raise UserError("--low_resolution is a size of crops: it needs another --crop than none")
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
