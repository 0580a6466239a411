"""Detectors and segmenters ready to be evaluated: .tflite files and Keras models alike."""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from care_keras.data.overrides import InputOverrides
from care_keras.data.sidecar import sidecar_path
from care_keras.litert.tensor import outputs_of
from care_keras.tflite_file import read_graph
from tflite.benchmark.thread_check import check_threads
from tflite.evaluate.keras_run import KerasRun, keras_file, open_keras
from tflite.evaluate.opened import OpenedModel, names_of, try_apart, with_labels
from tflite.inputs.image_file import ImageFile
from tflite.inputs.model_inputs import check_values_used, is_keras, keras_outputs, tflite_input
from tflite.inputs.task_outputs import check_anchors, task_anchors, task_outputs

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
    outputs = task_outputs(task, shapes, output, path)
    anchors = None
    if task == "detection":
        anchors = task_anchors(model_input, path, _beside(path))

    def open_file(threads=num_threads):
        return ImageFile(path, model_input, threads)

    def values_of(file, pixels, first=0):
        given = file.run_on(pixels, first)
        return [given[one] for one in outputs]

    def new_run(images):
        file = open_file()

        def run(pixels, first):
            started = time.perf_counter()
            values = values_of(file, pixels, first)
            real = [
                file.outputs[name].dequantize(one)
                for name, one in zip(outputs, values, strict=True)
            ]
            return real, time.perf_counter() - started

        return run

    def thread_check(pixels):
        one, several = (values_of(open_file(threads), pixels) for threads in (1, num_threads))
        return check_threads(num_threads, one, several)

    try_apart(path, model_input)
    file = open_file()
    shapes = [file.outputs[one].shape for one in outputs]
    if anchors is not None:
        check_anchors(anchors, shapes, path)
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
    outputs = task_outputs(task, shapes, output, path)
    _whole_image(model_input, path)
    anchors = None
    if task == "detection":
        anchors = task_anchors(model_input, path, "the model")
        check_anchors(anchors, [shapes[one] for one in outputs], path)
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
        keras_file(path),
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
