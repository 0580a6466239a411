"""Classifiers ready to be evaluated: .tflite files and Keras models behind one interface."""

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from care_keras.data.overrides import InputOverrides
from care_keras.litert.tensor import outputs_of
from care_keras.models.presets import PRESETS, check_name_or_path
from care_keras.tflite_file import read_graph
from tflite.benchmark.thread_check import check_threads
from tflite.evaluate.classes import output_classes
from tflite.evaluate.keras_run import KerasRun, keras_file, open_keras
from tflite.evaluate.opened import OpenedModel, names_of, try_apart, with_labels
from tflite.inputs.chosen_output import chosen_output
from tflite.inputs.image_file import ImageFile
from tflite.inputs.model_inputs import (
    check_values_used,
    image_tensor,
    is_keras,
    keras_outputs,
    tflite_input,
)

# From uint8 pixels `(images, height, width, channels)`, and the number of the first of them, to
# float32 scores `(images, outputs)`, and the seconds that took.
Scorer = Callable[[np.ndarray, int], tuple[np.ndarray, float]]


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluatedModel(OpenedModel):
    """A classifier that was opened; see `OpenedModel`.

    Attributes:
        outputs: Number of its classes; 0 of one that gives the class alone, and
            does not say how many there are.
        new_scorer: Makes a function that runs the model, one for each thread;
            takes the number of images it is for.
        output: Name of the output that has the scores.
        published_top1: Of published weights, what their authors say of
            ImageNet's validation set.
    """

    outputs: int
    new_scorer: Callable[[int], Scorer]
    output: str = "outputs"
    published_top1: float | None = None

    @property
    def gives_class(self) -> bool:
        """Whether its output is the class, and no score for each."""
        return not self.outputs


def open_models(
    paths: Sequence[str],
    overrides: InputOverrides | None = None,
    num_threads: int = 1,
    output: str | None = None,
    labels: tuple[str, ...] | None = None,
    loaded: Mapping | None = None,
) -> list[EvaluatedModel]:
    """Opens classifiers.

    Args:
        paths: .tflite files, .keras files or bundled models' names.
        overrides: What the user says of their inputs.
        num_threads: Threads of a .tflite file's kernels.
        output: Name of the output with the scores, for those that have several.
        labels: Names of the classes of those that do not say them.
        loaded: Keras models by path that are loaded already.

    Raises:
        ValueError: If one cannot be opened, is no classifier of images, or
            nothing says how images are prepared for it; one is given twice; or
            there is no such output, or no model that needs labels.
    """
    overrides, loaded = overrides or InputOverrides(), loaded or {}
    paths = [os.fspath(path) for path in paths]
    models = []
    for name, path in zip(names_of(paths), paths, strict=True):
        if is_keras(path):
            models.append(_open_keras(name, path, overrides, output, loaded.get(path)))
        else:
            models.append(_open_tflite(name, path, overrides, num_threads, output))
    check_values_used([model.input for model in models], overrides)
    if labels is not None:
        models = with_labels(models, labels)
    if output is not None and all(model.output != output for model in models):
        listed = ", ".join(f"{model.output} of {model.name}" for model in models)
        raise ValueError(f"No model has that output. Received: --output={output} for {listed}")
    return models


def _open_tflite(name, path, overrides, num_threads, output):
    model_input = tflite_input(path, overrides)
    output = chosen_output(outputs_of(read_graph(path)), output, path, "--output")

    def open_file(threads=num_threads):
        return ImageFile(path, model_input, threads)

    def values_of(file, pixels, first=0):
        return file.run_on(pixels, first)[output]

    def new_scorer(images):
        file = open_file()

        def score(pixels, first):
            started = time.perf_counter()
            scores = file.outputs[output].dequantize(values_of(file, pixels, first))
            return scores.reshape(len(pixels), -1), time.perf_counter() - started

        return score

    def thread_check(pixels):
        one, several = (values_of(open_file(threads), pixels) for threads in (1, num_threads))
        return check_threads(num_threads, [one], [several])

    try_apart(path, model_input)
    file = open_file()
    return EvaluatedModel(
        name,
        pathlib.Path(path),
        "tflite",
        model_input,
        file.input.dtype.name,
        file.batch,
        output_classes(
            file.outputs[output].shape, file.batch, path, file.outputs[output].is_classes
        ),
        new_scorer,
        output,
        thread_check=thread_check if num_threads > 1 else None,
        other_inputs=file.others,
    )


def check_model_file(name: str) -> None:
    """Raises ValueError if there is no such model, or no image goes in, without loading it."""
    if name.endswith(".tflite"):
        image_tensor(read_graph(name))
    else:
        check_name_or_path(name)


def check_output(name: str, output: str | None) -> None:
    """Raises ValueError if a .tflite file's output that `open_models` would take is not told."""
    if name.endswith(".tflite"):
        chosen_output(outputs_of(read_graph(name)), output, name, "--output")


def _open_keras(name, path, overrides, output, loaded):
    model, model_input = open_keras(path, overrides, loaded)
    import keras

    names = keras_outputs(model)
    output = chosen_output(names, output, path, "--output")
    place = names.index(output)
    scores = model.outputs[place]
    is_class = keras.backend.standardize_dtype(scores.dtype) in ("int32", "int64")
    outputs = output_classes(scores.shape, None, path, is_class)
    run = KerasRun(model, model_input)
    published = PRESETS[path].published if path in PRESETS else None

    def new_scorer(images):
        ready = run.ready_for(images)

        def score(pixels, first):
            values, seconds = ready(pixels)
            return values[place].reshape(len(pixels), -1), seconds

        return score

    return EvaluatedModel(
        name,
        keras_file(path),
        "keras",
        model_input,
        str(model.inputs[0].dtype),
        1,
        outputs,
        new_scorer,
        output,
        None if published is None else published.top1,
    )
