"""One training run: build, restore, fit, evaluate, write the result."""

import dataclasses
import datetime
import functools
import json
import shlex
from collections.abc import Callable

import keras
import numpy as np

from care_keras.cli import UserError
from care_keras.data.sources import open_source
from care_keras.files import atomic_path, write_atomically
from care_keras.models import CONFIGS, build_model
from care_keras.models.loading import load_any
from care_keras.quantization import freeze, layer_overrides
from care_keras.training.batches import EvaluationBatches, TrainingBatches, load_pixels
from care_keras.training.checkpoint import Checkpoint
from care_keras.training.config import TrainingConfig
from care_keras.training.progress import ProgressLines
from care_keras.training.qat import (
    DistillationBatches,
    DistillationLoss,
    Teacher,
    label_accuracy,
    quantized_start,
)
from care_keras.training.seeding import EpochSeeds


class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of integer labels against logits, with label smoothing."""

    def __init__(self, classes, label_smoothing, name="smoothed_crossentropy"):
        super().__init__(name=name)
        self.classes = classes
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        one_hot = keras.ops.one_hot(keras.ops.reshape(y_true, (-1,)), self.classes)
        return keras.losses.categorical_crossentropy(
            one_hot, y_pred, from_logits=True, label_smoothing=self.label_smoothing
        )


def train(config: TrainingConfig) -> dict:
    """Runs, or goes on with, a training run.

    Writes into `config.run_dir`: `config.json`, `last.weights.h5` (weights
    and optimizer after every epoch), `log.csv`, and in the end `model.keras`
    and `result.json`.

    Returns:
        What `result.json` holds.

    Raises:
        UserError: If the flags, the data or the folder cannot be used, or the
            loss stops being a number.
    """
    if config.model not in CONFIGS:
        raise UserError(f"--model must be one of {', '.join(CONFIGS)}, not {config.model!r}")
    if not config.qat and (config.float_layers or config.int16_layers):
        raise UserError("--float_layers and --int16_layers go with --qat")
    train_source, eval_source = _open_sources(config)
    _prepare_run_dir(config)

    keras.utils.set_random_seed(config.seed)
    print(f"{keras.backend.backend()} backend; training on {train_source.name}", flush=True)
    if config.qat:
        model, data = _quantized_model_and_data(config, train_source, eval_source)
    else:
        model, data = _float_model_and_data(config, train_source, eval_source)
    steps_per_epoch = len(train_source) // config.batch_size
    model.compile(
        optimizer=_optimizer(config, steps_per_epoch),
        loss=data.loss,
        metrics=[data.metric],
        # XLA's depthwise gradients make a CPU step eight times slower (TensorFlow 2.21).
        jit_compile="auto" if keras.backend.backend() == "jax" else False,
    )
    checkpoint = Checkpoint(config.run_dir / "last.weights.h5", steps_per_epoch)
    epoch = checkpoint.restore(model)
    training, evaluation = data.training, data.evaluation
    print(f"starting at epoch {epoch} of {config.epochs}", flush=True)
    try:
        _fit(config, model, checkpoint, epoch, training, evaluation)
        return _write_result(config, model, evaluation, eval_source.name)
    except OSError as error:
        raise UserError(
            f"--run_dir={config.run_dir} cannot be written to: {error.strerror or error}"
        ) from error


@dataclasses.dataclass(frozen=True)
class _Data:
    """What a model is trained with.

    Attributes:
        training: `training(first_epoch=, size=)` gives the batches.
        evaluation: The batches of the evaluation.
        loss: Of the batches' targets.
        metric: Accuracy of the batches' targets.
    """

    training: Callable
    evaluation: keras.utils.PyDataset
    loss: keras.losses.Loss
    metric: str | Callable


def _float_model_and_data(config, train_source, eval_source):
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
    train_pixels, eval_pixels = _load_pixels(model.preprocessing, train_source, eval_source)
    training = functools.partial(
        TrainingBatches,
        train_pixels,
        train_source.labels,
        model.preprocessing,
        config.batch_size,
        config.seed,
    )
    evaluation = EvaluationBatches(eval_pixels, eval_source.labels, model.preprocessing, 250)
    loss = SmoothedCrossentropy(model.classes, config.label_smoothing)
    return model, _Data(training, evaluation, loss, "sparse_categorical_accuracy")


def _quantized_model_and_data(config, train_source, eval_source):
    if not config.start_from:
        raise UserError("--qat needs --from=M.keras, the trained model to quantize")
    if config.low_resolution_epochs:
        raise UserError("--qat trains at the model's own size: leave --low_resolution_epochs out")
    start = _load_start(config)
    if getattr(start, "preprocessing", None) is None:
        raise UserError(f"--from={config.start_from} does not say how its images are prepared")
    if getattr(start, "labels", None) not in (None, train_source.class_names):
        raise UserError(f"--from={config.start_from} has other classes than {train_source.name}")
    train_pixels, eval_pixels = _load_pixels(start.preprocessing, train_source, eval_source)
    print("calibrating", flush=True)
    model, deployed = quantized_start(
        start,
        train_pixels,
        config.seed,
        layer_overrides(config.float_layers, config.int16_layers),
    )
    alpha = config.distillation if deployed is not None else 0.0
    classes = len(train_source.class_names)
    targets = {"teacher": Teacher(deployed) if alpha else None, "classes": classes}
    training = functools.partial(
        DistillationBatches,
        train_pixels,
        train_source.labels,
        model.preprocessing,
        config.batch_size,
        config.seed,
        **targets,
    )
    evaluation = EvaluationBatches(
        eval_pixels, np.asarray(eval_source.labels)[:, None], model.preprocessing, 250
    )
    loss = DistillationLoss(classes, alpha, config.label_smoothing)
    return model, _Data(training, evaluation, loss, label_accuracy)


def _load_pixels(preprocessing, *sources):
    try:
        return [load_pixels(source, preprocessing) for source in sources]
    except ValueError as error:
        raise UserError(str(error)) from error


def _open_sources(config):
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


def _prepare_run_dir(config):
    path = config.run_dir / "config.json"
    settings = config.to_dict()
    try:
        config.run_dir.mkdir(parents=True, exist_ok=True)
        before = json.loads(path.read_text()) if path.exists() else settings
        # The folder itself may have been moved, or be named in another way.
        compared = sorted(settings.keys() - {"run_dir"})
        changed = [key for key in compared if before.get(key) != settings[key]]
        if changed:
            raise UserError(
                f"{config.run_dir} holds a run with other settings ({', '.join(changed)}): "
                "give its flags, or another --run_dir"
            )
        write_atomically(path, json.dumps(settings, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"--run_dir={config.run_dir} cannot be used: {error.strerror}") from error
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path} does not hold the settings of a run: delete it") from error


def _fit(config, model, checkpoint, epoch, training, evaluation):
    """Trains from `epoch` to the end; `training(first_epoch=, size=)` gives the batches."""
    log = config.run_dir / "log.csv"
    if epoch == 0:
        log.unlink(missing_ok=True)
    callbacks = [
        EpochSeeds(config.seed),
        checkpoint,
        keras.callbacks.CSVLogger(log, append=True),
        keras.callbacks.TerminateOnNaN(),
        ProgressLines(checkpoint.steps_per_epoch, config.batch_size),
    ]
    low_resolution_end = min(config.low_resolution_epochs, config.epochs)
    # Two phases, as the shape of the batches changes between them.
    for end, size in ((low_resolution_end, config.low_resolution), (config.epochs, None)):
        if epoch >= end:
            continue
        model.fit(
            training(first_epoch=epoch, size=size),
            initial_epoch=epoch,
            epochs=end,
            # Shuffled already; Keras would reorder the batches, not reproducibly.
            shuffle=False,
            validation_data=evaluation,
            validation_freq=config.eval_every,
            callbacks=callbacks,
            verbose=0,
        )
        if model.stop_training:
            raise UserError(
                f"the loss is not a number at step {int(model.optimizer.iterations)}; "
                "lower --learning_rate (the last checkpoint is from before)"
            )
        epoch = end


def _optimizer(config, steps_per_epoch):
    steps = config.epochs * steps_per_epoch
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate / 100,
        decay_steps=max(steps - warmup_steps, 1),
        alpha=0.0,
        warmup_target=config.learning_rate,
        warmup_steps=warmup_steps,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "factors"])
    return optimizer


def _write_result(config, model, evaluation, eval_name):
    if config.qat:
        freeze(model)
    _, accuracy = model.evaluate(evaluation, verbose=0)
    # A copy that was not compiled: it carries no optimizer, and no loss to be known on loading.
    trained = type(model).from_config(model.get_config())
    trained.set_weights(model.get_weights())
    with atomic_path(config.run_dir / "model.keras") as temporary:
        trained.save(temporary)
    flags = [
        f"--{key}={value}"
        for key, values in config.to_dict().items()
        for value in (values if isinstance(values, list) else [values])
    ]
    result = {
        "top1": round(float(accuracy), 4),
        "evaluated_on": eval_name,
        "images": len(evaluation.pixels),
        "command": f"python -m care_keras.train {shlex.join(flags)}",
        "seed": config.seed,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "backend": keras.backend.backend(),
        "keras": keras.version(),
        "parameters": model.count_params(),
    }
    write_atomically(config.run_dir / "result.json", json.dumps(result, indent=2) + "\n")
    print(f"top-1 {accuracy:.2%} on {len(evaluation.pixels)} images of {eval_name}")
    print(f"wrote {config.run_dir / 'model.keras'}")
    return result
