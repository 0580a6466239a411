"""Classifiers ready to be evaluated: .tflite files and Keras models behind one interface."""

import contextlib
import dataclasses
import hashlib
import math
import os
import pathlib
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from care_keras.console.native_output import captured_native_output
from care_keras.data.preprocessing import resize_and_crop
from care_keras.data.sources import Source
from care_keras.litert.tensor import outputs_of
from care_keras.models.presets import PRESETS, check_name_or_path
from care_keras.tflite_file import read_graph
from tflite.benchmark import worker
from tflite.benchmark.engine import ONE_RUN
from tflite.benchmark.thread_check import ThreadCheck, check_threads
from tflite.child.worker import WorkerError, ask
from tflite.inputs.chosen_output import chosen_output
from tflite.inputs.image_file import ImageFile
from tflite.inputs.model_inputs import (
    ModelInput,
    check_values_used,
    image_tensor,
    is_keras,
    keras_model_input,
    keras_outputs,
    load_keras,
    tflite_input,
)
from tflite.inputs.overrides import InputOverrides

# From uint8 pixels `(images, height, width, channels)`, and the number of the first of them, to
# float32 scores `(images, outputs)`, and the seconds that took.
Scorer = Callable[[np.ndarray, int], tuple[np.ndarray, float]]
_TRIAL_TIMEOUT_SECONDS = 300
# Images that outputs of several threads are held against those of one on.
_THREAD_CHECK_IMAGES = 8
# Images from which on making a graph of a Keras model pays: it takes 3 to 30 s, and halves the
# time of CARE-Nano, that of its quantized form by five.
_GRAPH_IMAGES = 1000


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluatedModel:
    """A classifier that was opened.

    Attributes:
        name: Its name among the others.
        path: Its file.
        form: `"tflite"` or `"keras"`.
        input: How images are prepared for it.
        input_type: Type of its input, `"int8"`.
        batch: Images per inference; 1 for a Keras model, which takes any number.
        outputs: Number of its classes; 0 of one that gives the class alone, and
            does not say how many there are.
        new_scorer: Makes a function that runs the model, one for each thread;
            takes the number of images it is for.
        thread_check: From pixels to outputs with the model's threads against
            those with one; `None` where it has one, or they are Keras's.
        output: Name of the output that has the scores.
        other_inputs: Names of inputs that take no images and are fed noise.
    """

    name: str
    path: pathlib.Path
    form: str
    input: ModelInput
    input_type: str
    batch: int
    outputs: int
    new_scorer: Callable[[int], Scorer]
    thread_check: Callable[[np.ndarray], ThreadCheck] | None = None
    output: str = "outputs"
    other_inputs: tuple[str, ...] = ()

    @property
    def gives_class(self) -> bool:
        """Whether its output is the class, and no score for each."""
        return not self.outputs

    def sha256_and_size(self) -> tuple[str, int]:
        """Of the file: its sum and its size in bytes."""
        content = self.path.read_bytes()
        return hashlib.sha256(content).hexdigest(), len(content)


def open_models(
    paths: Sequence[str],
    overrides: InputOverrides | None = None,
    num_threads: int = 1,
    output: str | None = None,
    labels: tuple[str, ...] | None = None,
) -> list[EvaluatedModel]:
    """Opens classifiers.

    Args:
        paths: .tflite files, .keras files or bundled models' names.
        overrides: What the user says of their inputs.
        num_threads: Threads of a .tflite file's kernels.
        output: Name of the output with the scores, for those that have several.
        labels: Names of the classes of those that do not say them.

    Raises:
        ValueError: If one cannot be opened, is no classifier of images, or
            nothing says how images are prepared for it; one is given twice; or
            there is no such output, or no model that needs labels.
    """
    overrides = overrides or InputOverrides()
    paths = [os.fspath(path) for path in paths]
    for path in paths:
        if paths.count(path) > 1:
            raise ValueError(f"A model is given twice. Received: {path}")
    names = [pathlib.Path(path).name for path in paths]
    if len(set(names)) < len(names):
        names = paths
    models = []
    for name, path in zip(names, paths, strict=True):
        if is_keras(path):
            models.append(_open_keras(name, path, overrides, output))
        else:
            models.append(_open_tflite(name, path, overrides, num_threads, output))
    check_values_used([model.input for model in models], overrides)
    if labels is not None:
        models = _with_labels(models, labels)
    if output is not None and all(model.output != output for model in models):
        listed = ", ".join(f"{model.output} of {model.name}" for model in models)
        raise ValueError(f"No model has that output. Received: --output={output} for {listed}")
    return models


def _with_labels(models, labels):
    """Those that do not name their classes with names for them."""
    if all(model.input.labels is not None for model in models):
        raise ValueError(
            "Labels are of no use: all models name their classes. "
            f"Received: {len(labels)} labels for {', '.join(model.name for model in models)}"
        )
    return [
        dataclasses.replace(model, input=dataclasses.replace(model.input, labels=labels))
        if model.input.labels is None
        else model
        for model in models
    ]


def _open_tflite(name, path, overrides, num_threads, output):
    model_input = tflite_input(path, overrides)
    output = chosen_output(outputs_of(read_graph(path)), output, path, "--output")

    def open_file(threads=num_threads):
        return ImageFile(path, model_input, threads)

    def scores_of(file, pixels, first=0):
        return file.outputs[output].dequantize(file.run_on(pixels, first)[output])

    def new_scorer(images):
        file = open_file()

        def score(pixels, first):
            started = time.perf_counter()
            scores = scores_of(file, pixels, first)
            return scores.reshape(len(pixels), -1), time.perf_counter() - started

        return score

    def thread_check(pixels):
        one, several = (scores_of(open_file(threads), pixels) for threads in (1, num_threads))
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
        _classes(file.outputs[output].shape, file.batch, path, file.outputs[output].is_classes),
        new_scorer,
        thread_check if num_threads > 1 else None,
        output,
        file.others,
    )


def check_model_file(name: str, output: str | None = None) -> None:
    """Raises ValueError if `open_models` could not find the model, without loading it.

    Args:
        name: The model.
        output: Of `open_models`.
    """
    if name.endswith(".tflite"):
        graph = read_graph(name)
        image_tensor(graph)
        chosen_output(outputs_of(graph), output, name, "--output")
    else:
        check_name_or_path(name)


def check_threads_of(models: Sequence[EvaluatedModel], source: Source) -> list[str]:
    """What models compute otherwise with several threads than with one, a line each.

    Args:
        models: From `open_models`.
        source: Images, of which the first few that can be read are run.
    """
    images = []
    for index in range(len(source)):
        # Whether images that cannot be read may be left out is said by the pass over all.
        with contextlib.suppress(ValueError):
            images.append(source[index])
        if len(images) == _THREAD_CHECK_IMAGES:
            break
    wrong = []
    for model in models:
        if model.thread_check and images:
            record = model.input.preprocessing
            pixels = np.stack([resize_and_crop(image, record) for image in images])
            check = model.thread_check(pixels)
            wrong += [] if check.passed else [f"{model.name} {check}"]
    return wrong


def try_apart(path: str | os.PathLike, prepared: ModelInput) -> None:
    """Runs the file once in a process of its own: a damaged one can end the process.

    Raises:
        ValueError: If it does.
    """
    tensor, size = image_tensor(read_graph(path)), prepared.preprocessing
    shapes = {tensor.name: (tensor.shape[0], size.height, size.width, size.channels)}
    request = {"model": os.fspath(path), "shapes": shapes, **dataclasses.asdict(ONE_RUN)}
    try:
        ask("LiteRT", worker.__file__, request, _TRIAL_TIMEOUT_SECONDS)
    except WorkerError as error:
        if error.died:
            raise
    except ValueError:
        # What it says in words is left to the real input: random values may be none it takes.
        pass


def _open_keras(name, path, overrides, output):
    with captured_native_output():
        model = load_keras(path)
    model_input = keras_model_input(model, path, overrides)
    if len(model.inputs) > 1:
        names = ", ".join(tensor.name for tensor in model.inputs)
        raise ValueError(
            "A Keras model must have one input to be evaluated: convert it, as other inputs of a "
            f".tflite file are fed noise. Received: inputs {names} of {path}"
        )
    import keras

    names = keras_outputs(model)
    output = chosen_output(names, output, path, "--output")
    place = names.index(output)
    scores = model.outputs[place]
    is_class = keras.backend.standardize_dtype(scores.dtype) in ("int32", "int64")
    outputs = _classes(scores.shape, None, path, is_class)
    scorer = _KerasScorer(model, model_input, place)
    file = PRESETS[path].file if path in PRESETS else pathlib.Path(path)
    return EvaluatedModel(
        name,
        file,
        "keras",
        model_input,
        str(model.inputs[0].dtype),
        1,
        outputs,
        lambda images: scorer if images < _GRAPH_IMAGES else scorer.as_graph(),
        output=output,
    )


class _KerasScorer:
    """Runs a Keras model, for all threads alike.

    One at a time: Keras's backends spread the work over the cores themselves.
    """

    def __init__(self, model, model_input, output):
        self._model = model
        self._input = model_input
        self._output = output
        self._lock = threading.Lock()
        self._graph = False
        self._rows = 0

    def as_graph(self):
        """From now on as one graph, which takes some seconds to make."""
        from care_keras.training.devices.grappler import leave_out_remapper

        self._graph = True
        leave_out_remapper()
        return self

    def __call__(self, pixels, first):
        values = self._input.values(pixels)
        with self._lock:
            started = time.perf_counter()
            scores = self._run(values.astype(np.float32))[: len(pixels)]
            seconds = time.perf_counter() - started
        return scores.reshape(len(pixels), -1), seconds

    def _run(self, values):
        import keras

        if not self._graph:
            outputs = self._model(values, training=False)
        else:
            # Always as many rows: a graph is made anew for another number.
            self._rows = max(self._rows, len(values))
            filling = np.repeat(values[-1:], self._rows - len(values), axis=0)
            outputs = self._model.predict_on_batch(np.concatenate([values, filling]))
        scores = keras.tree.flatten(outputs)[self._output]
        return keras.ops.convert_to_numpy(scores).astype(np.float32)


def _classes(shape, batch, path, is_class):
    """Number of classes that an output of this shape has scores for; 0 of the class itself."""
    shape = tuple(shape)
    if is_class and shape[:1] == (batch,) and all(size == 1 for size in shape[1:]):
        return 0
    outputs = 0 if None in shape[1:] else math.prod(shape[1:])
    # Singleton axes are no matter; two others would be a map of classes, or no classes at all.
    wide = [size for size in shape[1:] if size != 1]
    if len(shape) < 2 or shape[0] != batch or len(wide) != 1 or outputs < 2:
        text = "x".join("?" if size is None else str(size) for size in shape) or "a scalar"
        raise ValueError(
            "The model must give a score for each class, (batch, classes), or the class as an "
            f"integer, (batch,). Received: {'integers' if is_class else 'an output'} of {text} in "
            f"{path}"
        )
    return outputs
