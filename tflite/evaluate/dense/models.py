"""Detectors and segmenters ready to be evaluated: .tflite files and Keras models alike."""

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from care_keras.data.sidecar import sidecar_path
from care_keras.detection.anchors import LOCATION_SCALES, Anchors
from care_keras.litert.tensor import outputs_of
from care_keras.tflite_file import read_graph
from tflite.benchmark.thread_check import check_threads
from tflite.evaluate.keras_run import KerasRun, open_keras
from tflite.evaluate.opened import OpenedModel, names_of, try_apart, with_labels
from tflite.inputs.chosen_output import chosen_output
from tflite.inputs.image_file import ImageFile
from tflite.inputs.model_inputs import check_values_used, is_keras, keras_outputs, tflite_input
from tflite.inputs.overrides import InputOverrides

# From uint8 pixels `(images, height, width, channels)`, and the number of the first of them, to
# float32 outputs `(images, ...)`, and the seconds that took.
Run = Callable[[np.ndarray, int], tuple[list[np.ndarray], float]]


@dataclasses.dataclass(frozen=True, eq=False)
class DenseModel(OpenedModel):
    """A detector or segmenter that was opened; see `OpenedModel`.

    Attributes:
        outputs: Names of the outputs: location and score, or the logits.
        classes: Number of its classes.
        new_run: Makes a function that runs the model, one for each thread;
            takes the number of images it is for.
        anchors: Of a detector, float32 `(anchors, 4)` in pixels of the input.
    """

    outputs: tuple[str, ...]
    classes: int
    new_run: Callable[[int], Run]
    anchors: np.ndarray | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its input."""
        return self.input.preprocessing.height, self.input.preprocessing.width


def open_dense_models(
    paths: Sequence[str],
    task: str,
    overrides: InputOverrides,
    num_threads: int = 1,
    output: str | None = None,
    labels: tuple[str, ...] | None = None,
    loaded: Mapping | None = None,
) -> list[DenseModel]:
    """Opens models of one task.

    Args:
        paths: .tflite files or .keras files.
        task: `"detection"` or `"segmentation"`.
        overrides: What the user says of their inputs.
        num_threads: Threads of a .tflite file's kernels.
        output: Name of the output with the logits, of segmenters that have several.
        labels: Names of the classes of those that do not say them.
        loaded: Keras models by path that are loaded already.

    Raises:
        ValueError: If one cannot be opened, is not for the task, or nothing says
            how images are prepared for it; or one is given twice.
    """
    loaded = loaded or {}
    models = []
    for name, path in zip(names_of(paths), paths, strict=True):
        if is_keras(path):
            model = _open_keras(name, path, task, overrides, output, loaded.get(path))
        else:
            model = _open_tflite(name, path, task, overrides, num_threads, output)
        models.append(model)
    check_values_used([model.input for model in models], overrides)
    return models if labels is None else with_labels(models, labels)


def _open_tflite(name, path, task, overrides, num_threads, output):
    model_input = _whole_image(tflite_input(path, overrides), path)
    shapes = {key: one.shape for key, one in outputs_of(read_graph(path)).items()}
    outputs = _outputs(task, shapes, output, path)
    anchors = _anchors(task, model_input, path, _beside(path))

    def open_file(threads=num_threads):
        return ImageFile(path, model_input, threads)

    def run_file(file, pixels, first=0):
        given = file.run_on(pixels, first)
        return [file.outputs[one].dequantize(given[one]) for one in outputs]

    def new_run(images):
        file = open_file()

        def run(pixels, first):
            started = time.perf_counter()
            return run_file(file, pixels, first), time.perf_counter() - started

        return run

    def thread_check(pixels):
        one, several = (run_file(open_file(threads), pixels) for threads in (1, num_threads))
        return check_threads(num_threads, one, several)

    try_apart(path, model_input)
    file = open_file()
    shapes = [file.outputs[one].shape for one in outputs]
    _check_anchors(anchors, shapes, path)
    return DenseModel(
        name,
        pathlib.Path(path),
        "tflite",
        model_input,
        file.input.dtype.name,
        file.batch,
        outputs,
        shapes[-1][-1],
        new_run,
        anchors,
        thread_check=thread_check if num_threads > 1 else None,
        other_inputs=file.others,
    )


def _open_keras(name, path, task, overrides, output, loaded):
    model, model_input = open_keras(path, overrides, loaded)
    names = keras_outputs(model)
    shapes = {key: tuple(one.shape) for key, one in zip(names, model.outputs, strict=True)}
    outputs = _outputs(task, shapes, output, path)
    anchors = _anchors(task, _whole_image(model_input, path), path, "the model")
    _check_anchors(anchors, [shapes[one] for one in outputs], path)
    places = [names.index(one) for one in outputs]
    run = KerasRun(model, model_input)

    def new_run(images):
        ready = run.ready_for(images)

        def run_model(pixels, first):
            values, seconds = ready(pixels)
            return [values[place] for place in places], seconds

        return run_model

    return DenseModel(
        name,
        pathlib.Path(path),
        "keras",
        model_input,
        str(model.inputs[0].dtype),
        1,
        outputs,
        shapes[outputs[-1]][-1],
        new_run,
        anchors,
    )


def _beside(path):
    described = sidecar_path(path)
    return f"{described.name} beside it" if described.exists() else f"{described.name}, not there,"


def _whole_image(model_input, path):
    if model_input.preprocessing.fit != "stretch":
        raise ValueError(
            "Objects and classes are known of all of an image, and of this model's images the "
            f"edges are cut off: --fit=stretch shows it all. Received: {path}"
        )
    return model_input


def _outputs(task, shapes, output, path):
    """Names of the outputs that a task is about."""
    ranks = {"detection": 3, "segmentation": 4}
    of_rank = {
        name: shape
        for name, shape in shapes.items()
        if len(shape) == ranks[task] and shape[-1] is not None and shape[-1] > 0
    }
    if task == "segmentation" and of_rank:
        return (chosen_output(of_rank, output, path, "--output"),)
    if task == "detection" and of_rank.keys() >= {"location", "score"}:
        return "location", "score"
    locations = [name for name, shape in of_rank.items() if shape[-1] == 4]
    scores = [name for name in of_rank if name not in locations]
    if task == "detection" and len(locations) == len(scores) == 1:
        return locations[0], scores[0]
    wanted = {
        "detection": "A detector must give location (1, anchors, 4) and score (1, anchors, "
        "classes), of these names where there are four classes",
        "segmentation": "A segmenter must give logits (1, height, width, classes)",
    }[task]
    listed = ", ".join(f"{name} {_text(shape)}" for name, shape in shapes.items())
    raise ValueError(f"{wanted}. Received: outputs {listed} of {os.fspath(path)}")


def _text(shape):
    return "x".join("?" if size is None else str(size) for size in shape) or "(a scalar)"


def _anchors(task, model_input, path, where):
    """A detector's anchors, by what the model says."""
    if task != "detection":
        return None
    said = model_input.task or {}
    if said.get("anchors") is None:
        raise ValueError(
            f"Nothing says the anchors that boxes are decoded with: {where} has no task of "
            "detection. care_keras.convert writes it beside a RetinaNet's file: convert the model "
            f"anew. Received: {path}"
        )
    scales = said.get("location_scales")
    if scales not in (None, list(LOCATION_SCALES)):
        raise ValueError(
            f"Locations must be scaled by {LOCATION_SCALES}. "
            f"Received: location_scales={scales} of {path}"
        )
    record = model_input.preprocessing
    try:
        return Anchors.from_dict(said["anchors"]).boxes((record.height, record.width))
    except ValueError as error:
        raise ValueError(f"{error} ({where}, of {path})") from error


def _check_anchors(anchors, shapes, path):
    """Raises ValueError unless outputs have a row for each anchor, as far as shapes tell."""
    if anchors is None:
        return
    rows = {shape[1] for shape in shapes if shape[1] is not None}
    if rows - {len(anchors)} or shapes[0][-1] != 4:
        raise ValueError(
            f"A detector's outputs need a row for each of its {len(anchors)} anchors, and "
            f"locations four values. Received: outputs {', '.join(map(_text, shapes))} of {path}"
        )
