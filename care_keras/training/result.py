"""What a run ends with: its model, its figures and its picture."""

import dataclasses
import datetime
import json
import shlex
import sys

import keras

from care_keras.console.optional import MissingDependencyError
from care_keras.files import atomic_path, write_atomically
from care_keras.pictures import write_png
from care_keras.quantization import freeze, is_quantized
from care_keras.training.config import TrainingConfig
from care_keras.training.devices.distribution import Distribution
from care_keras.training.run.curves import draw_curves
from care_keras.training.run.epoch_log import read_log
from care_keras.training.run.folder import RunFolder
from care_keras.training.task import Task
from care_keras.training.teaching.weight_averages import WeightAverages

# Of a figure from 0 to 1, what int8 may lose without a word.
_LOST = 0.02


def finish(
    config: TrainingConfig,
    task: Task,
    averages: WeightAverages,
    folder: RunFolder,
    distribution: Distribution,
    best: dict | None,
) -> dict:
    """Evaluates a trained model and writes it, the result and the curves.

    Every process takes part in the evaluation; the chief writes.

    Returns:
        What `result.json` holds.

    Raises:
        OSError: If the folder cannot be written to.
    """
    model = task.model
    with averages.in_place():
        if is_quantized(model):
            freeze(model)
        figures = task.figures(distribution)
        if distribution.is_chief:
            save_trained(task, folder.model, distribution)
    shown = _SHOWN[task.figure]
    value = figures[task.figure]
    result = {
        **shown.entries(figures),
        "evaluated_on": task.evaluation.name,
        "images": task.evaluation.images,
        "best": best,
        "command": command_of(config),
        "seed": config.seed,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "backend": keras.backend.backend(),
        "keras": keras.version(),
        "parameters": model.count_params(),
    }
    if distribution.is_chief and (of_float := task.float_figures()):
        result[f"float_{shown.key}"] = _compare_with_float(shown, value, of_float[task.figure])
    if distribution.is_chief:
        write_atomically(folder.result, json.dumps(result, indent=2) + "\n")
        _draw(folder, config)
        pictures = task.pictures(folder.model)
        if pictures is not None:
            write_png(folder.predictions, pictures)
        print(
            f"{shown.name} {_percent(value)} on {task.evaluation.images} images of "
            f"{task.evaluation.name}"
        )
        print(f"wrote {folder.model}")
    return result


@dataclasses.dataclass(frozen=True)
class _Shown:
    """How a figure is called: in `result.json`, and for people."""

    key: str
    name: str

    def entries(self, figures):
        """What of the figures `result.json` has; the first says how good the model is."""
        first = next(key for key, shown in _SHOWN.items() if shown is self)
        found = {self.key: figures[first]}
        if first != "accuracy":
            found |= {key: value for key, value in figures.items() if key != first}
        return {
            key: None if value is None else round(float(value), 4) for key, value in found.items()
        }


_SHOWN = {
    "accuracy": _Shown("top1", "top-1"),
    "mean_iou": _Shown("mean_iou", "mean IoU"),
    "ap": _Shown("ap", "AP"),
}


def _percent(value):
    return "not known, as there is nothing to find" if value is None else f"{value:.2%}"


def _compare_with_float(shown, value, of_float):
    """The float model's figure; a training that lost much of it is called that."""
    print(f"{shown.name} of the float model {_percent(of_float)}")
    if value is None or of_float is None:
        return None
    if value < of_float - _LOST:
        print(
            f"warning: int8 is {100 * (of_float - value):.1f} points below the float "
            "model: a lower --learning_rate, or more --epochs, may bring them back",
            file=sys.stderr,
        )
    return round(float(of_float), 4)


def save_trained(task: Task, path, distribution: Distribution) -> None:
    """Writes a task's model for use, in float32: no optimizer, and no loss to be known on loading.

    Raises:
        OSError: If it cannot be written.
    """
    with distribution.alone():
        trained = task.blank()
        trained.set_weights(task.weights())
        if is_quantized(trained):
            freeze(trained)
        with atomic_path(path) as temporary:
            trained.save(temporary)


def command_of(config: TrainingConfig) -> str:
    """The command that makes the run again."""
    return f"python -m care_keras.train {shlex.join(config.to_arguments())}"


def _draw(folder, config):
    rows = read_log(folder.log)
    try:
        draw_curves(rows, folder.curves, f"{config.model} on {config.data}")
    except MissingDependencyError as error:
        print(f"no picture of the curves: {error}")
