"""What a run ends with: its model, its figures and its picture."""

import datetime
import json
import shlex
import sys

import keras
import numpy as np

from care_keras.console.optional import MissingDependencyError
from care_keras.files import atomic_path, write_atomically
from care_keras.quantization import freeze, is_quantized
from care_keras.training.config import TrainingConfig
from care_keras.training.devices.distribution import Distribution
from care_keras.training.run.curves import draw_curves
from care_keras.training.run.epoch_log import read_log
from care_keras.training.run.folder import RunFolder
from care_keras.training.task import Task
from care_keras.training.teaching.weight_averages import WeightAverages

# Share of the images that int8 may lose without a word.
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
        figures = model.evaluate(task.evaluation.dataset(), return_dict=True, verbose=0)
        if distribution.is_chief:
            save_trained(task, folder.model, distribution)
    accuracy = figures["accuracy"]
    result = {
        "top1": round(float(accuracy), 4),
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
    if distribution.is_chief and task.float_logits:
        result["float_top1"] = _compare_with_float(task, accuracy)
    if distribution.is_chief:
        write_atomically(folder.result, json.dumps(result, indent=2) + "\n")
        _draw(folder, config)
        print(f"top-1 {accuracy:.2%} on {task.evaluation.images} images of {task.evaluation.name}")
        print(f"wrote {folder.model}")
    return result


def _compare_with_float(task, accuracy):
    """The float model's accuracy; a training that lost much of it is called that."""
    right = count = 0
    for images, targets in task.evaluation.pipeline.dataset():
        logits = task.float_logits(np.asarray(images))
        labels = np.asarray(targets)[:, : logits.shape[-1]].argmax(-1)
        right += np.sum(logits.argmax(-1) == labels)
        count += len(labels)
    float_accuracy = right / count
    print(f"top-1 of the float model {float_accuracy:.2%}")
    if accuracy < float_accuracy - _LOST:
        print(
            f"warning: int8 is {100 * (float_accuracy - accuracy):.1f} points below the float "
            "model: a lower --learning_rate, or more --epochs, may bring them back",
            file=sys.stderr,
        )
    return round(float(float_accuracy), 4)


def save_trained(task: Task, path, distribution: Distribution) -> None:
    """Writes a task's model for use, in float32: no optimizer, and no loss to be known on loading.

    Raises:
        OSError: If it cannot be written.
    """
    with distribution.alone():
        trained = task.blank()
        trained.set_weights(task.model.get_weights())
        if is_quantized(trained):
            freeze(trained)
        with atomic_path(path) as temporary:
            trained.save(temporary)


def command_of(config: TrainingConfig) -> str:
    """The command that makes the run again."""
    flags = [
        f"--{key}={value}"
        for key, values in config.to_dict().items()
        for value in (values if isinstance(values, list) else [values])
    ]
    return f"python -m care_keras.train {shlex.join(flags)}"


def _draw(folder, config):
    rows = read_log(folder.log)
    try:
        draw_curves(rows, folder.curves, f"{config.model} on {config.data}")
    except MissingDependencyError as error:
        print(f"no picture of the curves: {error}")
