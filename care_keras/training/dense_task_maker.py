"""What makes a task of segmentation or detection of a run's settings."""

import abc
import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator

import keras
import numpy as np

from care_keras.console.cli import UserError
from care_keras.console.flag_values import parse_size
from care_keras.data.preprocessing import resize_and_crop
from care_keras.data.sources import Source
from care_keras.loading import load_any
from care_keras.models import CAREBackbone
from care_keras.quantization import layer_overrides
from care_keras.shapes import shape_text
from care_keras.training.config import TrainingConfig
from care_keras.training.dense_task import DenseTask, Judged
from care_keras.training.devices.distribution import Distribution
from care_keras.training.images.choose_engine import choose_engine
from care_keras.training.images.dense_pipeline import DensePipeline
from care_keras.training.images.joint import mean_color
from care_keras.training.recipe import model_config
from care_keras.training.task import CALIBRATION_IMAGES
from care_keras.training.teaching.qat import quantized_for_training

# A layer scale that a training from scratch moves: the published 1e-6 is for 300 epochs.
_LEAST_LAYER_SCALE = 0.1
# What goes with classification alone, and changes nothing here without a word.
_CLASSIFICATION = (
    "teacher",
    "rand_augment",
    "random_erasing",
    "mixup",
    "cutmix",
    "low_resolution_epochs",
)


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Makes what the library says of a setting a user's error."""
    try:
        yield
    except ValueError as error:
        raise UserError(str(error)) from error


class DenseTaskMaker(abc.ABC):
    """Makes a task's parts of a run's settings; segmentation and detection are one each.

    Attributes:
        network: The class of what is trained.
        pipeline: The class of its batches.
    """

    network: type[keras.Model]
    pipeline: type[DensePipeline]

    @abc.abstractmethod
    def open(self, config: TrainingConfig, split: str) -> Source:
        """The images of a split; raises ValueError if they cannot be used."""

    @abc.abstractmethod
    def build(self, config: TrainingConfig, backbone: CAREBackbone, **described) -> keras.Model:
        """The network on a backbone; `described` are its classes, labels, name and images."""

    @abc.abstractmethod
    def trained(
        self, model: keras.Model, like: keras.Model, config: TrainingConfig, source: Source
    ) -> dict:
        """What of a `DenseTask` is the task's own.

        Args:
            model: What is trained, a network or its quantized form.
            like: The network.
            config: The run's settings.
            source: What it is trained on.

        Returns:
            `model`, `loss`, `metrics` and `judge`.
        """

    def open_sources(self, config: TrainingConfig) -> tuple[Source, Source]:
        """Images to train and to evaluate on.

        Raises:
            UserError: If they cannot be used for that.
        """
        for name in _CLASSIFICATION:
            if getattr(config, name):
                raise UserError(f"--{name} goes with --task=classification, not {config.task}")
        with user_errors():
            train, evaluation = (
                self.open(config, split) for split in (config.train_split, config.eval_split)
            )
        if train.class_names != evaluation.class_names:
            raise UserError(f"{train.name} and {evaluation.name} have different classes")
        if set(train.item_names) & set(evaluation.item_names):
            raise UserError(
                f"{train.name} and {evaluation.name} share images: evaluation needs others than "
                "training, by --train_split and --eval_split"
            )
        return train, evaluation

    def float_task(
        self,
        config: TrainingConfig,
        train_source: Source,
        eval_source: Source,
        distribution: Distribution,
    ) -> DenseTask:
        """A network, from random weights or those of `--from`."""

        def build(dtype: str = "float32") -> keras.Model:
            return self.build(
                config,
                _backbone(config, dtype),
                classes=len(train_source.class_names),
                labels=train_source.class_names,
                preprocessing=_record(config),
                name=f"{config.model}_{config.task}",
            )

        with user_errors():
            model = build(config.dtype)
        if config.start_from:
            _start_from(config, model)
        return self._task(config, model, model, train_source, eval_source, distribution, build)

    def quantized_task(
        self,
        config: TrainingConfig,
        train_source: Source,
        eval_source: Source,
        distribution: Distribution,
    ) -> DenseTask:
        """The quantized form of the network of `--from`."""
        start = _load_trained(config, self.network, train_source)
        model = _quantized(config, start, train_source)

        def build() -> keras.Model:
            return type(model).from_config(model.get_config())

        sources = train_source, eval_source
        task = self._task(config, model, start, *sources, distribution, build)
        return dataclasses.replace(task, start=start)

    def _task(self, config, model, like, train_source, eval_source, distribution, build):
        training = self.pipeline(
            train_source,
            # Raw pixels of a quantized form, where the network takes normalized ones.
            model.preprocessing,
            config.batch_size,
            config,
            fill=mean_color(like.preprocessing),
            seed=config.seed,
            shard_index=distribution.shard_index,
            shard_count=distribution.shard_count,
            cache_megabytes=config.cache_megabytes,
            engine=choose_engine(config.input_pipeline),
        )
        return DenseTask(
            **self.trained(model, like, config, train_source),
            network=model,
            training=training,
            evaluation=Judged(eval_source.name, len(eval_source)),
            pipelines=(training,),
            blank=build,
            eval_source=eval_source,
        )


def _record(config):
    """How the images of a new network are prepared: all of an image, at `--size`."""
    base = model_config(config).preprocessing
    size = parse_size(config.size or None) or (base.height, base.width)
    return dataclasses.replace(
        base, height=size[0], width=size[1], fit="stretch", interpolation="bilinear"
    )


def _backbone(config, dtype):
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


def _start_from(config, model):
    """Gives a network the weights of `--from`, or its backbone those of the backbone in it."""
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


def _load_trained(config, kind, source):
    """The network of `--from`, to train on for int8."""
    if not config.start_from:
        raise UserError("--qat needs --from, the trained model")
    start = _load(config)
    if not isinstance(start, kind):
        raise UserError(
            f"--from={config.start_from} is no {kind.__name__}, which --task={config.task} trains"
        )
    if start.preprocessing is None:
        raise UserError(f"--from={config.start_from} does not say how its images are prepared")
    size = parse_size(config.size or None)
    own = start.preprocessing.height, start.preprocessing.width
    if size not in (None, own):
        raise UserError(
            f"--from={config.start_from} is of images of {shape_text(own)}, which --qat keeps: "
            f"leave --size={config.size} out"
        )
    if start.classes != len(source.class_names) or start.labels not in (None, source.class_names):
        raise UserError(f"--from={config.start_from} has other classes than {source.name}")
    return start


def _quantized(config, start, source):
    """The quantized form of a trained network, calibrated on images to train on."""
    chosen = source.sample(CALIBRATION_IMAGES, config.seed)
    with user_errors():
        pixels = np.stack(
            [resize_and_crop(chosen[i], start.preprocessing) for i in range(len(chosen))]
        )
    overrides = layer_overrides(config.float_layers, config.int16_layers)
    return quantized_for_training(start, pixels, overrides)


def _load(config):
    try:
        return load_any(os.fspath(config.start_from))
    except ValueError as error:
        raise UserError(str(error)) from error
