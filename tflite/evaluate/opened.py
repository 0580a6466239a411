"""What every model has that was opened, whatever its outputs are for."""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from care_keras.data.preprocessing import resize_and_crop
from care_keras.data.sources import Source
from care_keras.tflite_file import read_graph
from tflite.benchmark import worker
from tflite.benchmark.engine import ONE_RUN
from tflite.benchmark.thread_check import ThreadCheck
from tflite.child.worker import WorkerError, ask
from tflite.inputs.model_inputs import image_tensor
from tflite.inputs.records import ModelInput

_TRIAL_TIMEOUT_SECONDS = 300
# Images that outputs of several threads are held against those of one on.
_THREAD_CHECK_IMAGES = 8


@dataclasses.dataclass(frozen=True, eq=False)
class OpenedModel:
    """A model that takes images.

    Attributes:
        name: Its name among the others.
        path: Its file.
        form: `"tflite"` or `"keras"`.
        input: How images are prepared for it.
        input_type: Type of its input, `"int8"`.
        batch: Images per inference; 1 for a Keras model, which takes any number.
        thread_check: From pixels to outputs with the model's threads against
            those with one; `None` where it has one, or they are Keras's.
        other_inputs: Names of inputs that take no images and are fed noise.
    """

    name: str
    path: pathlib.Path
    form: str
    input: ModelInput
    input_type: str
    batch: int
    _: dataclasses.KW_ONLY
    thread_check: Callable[[np.ndarray], ThreadCheck] | None = None
    other_inputs: tuple[str, ...] = ()

    def sha256_and_size(self) -> tuple[str, int]:
        """Of the file: its sum and its size in bytes."""
        content = self.path.read_bytes()
        return hashlib.sha256(content).hexdigest(), len(content)


def names_of(paths: Sequence[str]) -> list[str]:
    """What models are called beside each other: their files' names, or paths where two share one.

    Raises:
        ValueError: If one is given twice.
    """
    for path in paths:
        if paths.count(path) > 1:
            raise ValueError(f"A model is given twice. Received: {path}")
    names = [pathlib.Path(path).name for path in paths]
    return list(paths) if len(set(names)) < len(names) else names


def with_labels(models: Sequence[OpenedModel], labels: tuple[str, ...]) -> list[OpenedModel]:
    """Those that do not name their classes with names for them.

    Raises:
        ValueError: If there are none.
    """
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


def check_threads_of(models: Sequence[OpenedModel], source: Source) -> list[str]:
    """What models compute otherwise with several threads than with one, a line each.

    Args:
        models: The models.
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
