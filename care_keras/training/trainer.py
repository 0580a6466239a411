"""One training run: build, restore, fit, evaluate, write the result."""

import dataclasses
import datetime
import json
import pathlib

import keras

from care_keras.cli import UserError
from care_keras.data.sources import open_source
from care_keras.files import atomic_path, write_atomically
from care_keras.models import CONFIGS, build_model
from care_keras.training.batches import EvaluationBatches, TrainingBatches, load_pixels
from care_keras.training.checkpoint import Checkpoint
from care_keras.training.progress import ProgressLines


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Everything a run depends on; the flags of `care_keras.train` name the fields."""

    model: str
    data: str
    run_dir: pathlib.Path
    train_split: str = "train"
    eval_split: str = "test"
    eval_every: int = 1
    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 2e-3
    warmup_epochs: float = 1.0
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    drop_path: float = 0.0
    low_resolution: int = 0
    low_resolution_epochs: int = 0
    seed: int = 0

    def to_dict(self) -> dict:
        return dataclasses.asdict(self) | {"run_dir": str(self.run_dir)}


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
        UserError: If the data, the model name or the folder cannot be used.
    """
    if config.model not in CONFIGS:
        raise UserError(f"--model must be one of {', '.join(CONFIGS)}, not {config.model!r}")
    care_config = CONFIGS[config.model]
    preprocessing = care_config.preprocessing
    try:
        train_source = open_source(config.data, config.train_split)
        eval_source = open_source(config.data, config.eval_split)
    except ValueError as error:
        raise UserError(str(error)) from error
    for source in (train_source, eval_source):
        if source.labels is None:
            raise UserError(f"{source.name} has no labels to train or evaluate with")
    if len(train_source) < config.batch_size:
        raise UserError(
            f"--batch_size={config.batch_size} is more than the {len(train_source)} images "
            f"of {train_source.name}"
        )
    _prepare_run_dir(config)

    print(f"{keras.backend.backend()} backend; training on {train_source.name}", flush=True)
    train_pixels = load_pixels(train_source, preprocessing)
    evaluation = EvaluationBatches(
        load_pixels(eval_source, preprocessing), eval_source.labels, preprocessing, 250
    )

    keras.utils.set_random_seed(config.seed)
    model = build_model(
        care_config,
        classes=len(train_source.class_names),
        classifier_activation=None,
        drop_path_rate=config.drop_path,
        labels=train_source.class_names,
    )
    steps_per_epoch = len(train_source) // config.batch_size
    model.compile(
        optimizer=_optimizer(config, steps_per_epoch),
        loss=SmoothedCrossentropy(model.classes, config.label_smoothing),
        metrics=["sparse_categorical_accuracy"],
        # XLA's depthwise gradients make a CPU step eight times slower (TensorFlow 2.21).
        jit_compile="auto" if keras.backend.backend() == "jax" else False,
    )
    checkpoint = Checkpoint(config.run_dir / "last.weights.h5", steps_per_epoch)
    epoch = checkpoint.restore(model)
    print(f"starting at epoch {epoch} of {config.epochs}", flush=True)
    callbacks = [
        checkpoint,
        keras.callbacks.CSVLogger(config.run_dir / "log.csv", append=epoch > 0),
        keras.callbacks.TerminateOnNaN(),
        ProgressLines(steps_per_epoch, config.batch_size),
    ]
    # Two phases, as the shape of the batches changes between them.
    for end, size in ((config.low_resolution_epochs, config.low_resolution), (config.epochs, None)):
        if epoch >= end:
            continue
        batches = TrainingBatches(
            train_pixels,
            train_source.labels,
            preprocessing,
            config.batch_size,
            config.seed,
            first_epoch=epoch,
            size=size,
        )
        model.fit(
            batches,
            initial_epoch=epoch,
            epochs=end,
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
    return _write_result(config, model, evaluation, eval_source.name)


def _prepare_run_dir(config):
    path = config.run_dir / "config.json"
    try:
        config.run_dir.mkdir(parents=True, exist_ok=True)
        if path.exists():
            before = json.loads(path.read_text())
            changed = [key for key, value in config.to_dict().items() if before.get(key) != value]
            if changed:
                raise UserError(
                    f"{config.run_dir} holds a run with other settings "
                    f"({', '.join(sorted(changed))}): give its flags, or another --run_dir"
                )
        write_atomically(path, json.dumps(config.to_dict(), indent=2) + "\n")
    except OSError as error:
        raise UserError(f"--run_dir={config.run_dir} cannot be used: {error.strerror}") from error


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
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _write_result(config, model, evaluation, eval_name):
    _, accuracy = model.evaluate(evaluation, verbose=0)
    with atomic_path(config.run_dir / "model.keras") as temporary:
        model.save(temporary, include_optimizer=False)
    flags = [f"--{key}={value}" for key, value in config.to_dict().items()]
    result = {
        "top1": round(float(accuracy), 4),
        "evaluated_on": eval_name,
        "images": len(evaluation.pixels),
        "command": " ".join(["python -m care_keras.train", *flags]),
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
