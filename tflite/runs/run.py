"""Runs a .tflite file over images in a worker that may hang or die, and starts it anew."""

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from care_keras.console.progress import progress
from tflite.child.worker import WorkerError, open_worker
from tflite.runs import worker

if TYPE_CHECKING:
    from tflite.inputs.real_and_extreme import Inputs

# Imports alone take half a minute where an emulator runs on a busy machine.
START_SECONDS = 300


@dataclasses.dataclass
class Run:
    """What became of the images on one side.

    Attributes:
        runtime: What ran: `package`, `version`, `python`, `numpy`, `machine`.
        ops: Operations of the graph, `None` if the runtime does not tell.
        delegated_ops: How many of them XNNPACK ran, likewise.
        names: Names of the outputs.
        outputs: For each image that ran its outputs, in their own types.
        failures: For each other one what happened.
        deaths: How often the worker died or was killed.
        not_run: Images at the end that were left out after too many deaths.
        seconds: Of each inference that ran.
        error: Why nothing could be run at all, or `None`.
    """

    runtime: dict = dataclasses.field(default_factory=dict)
    ops: int | None = None
    delegated_ops: int | None = None
    names: tuple[str, ...] = ()
    outputs: dict[int, list[np.ndarray]] = dataclasses.field(default_factory=dict)
    failures: dict[int, str] = dataclasses.field(default_factory=dict)
    deaths: int = 0
    not_run: int = 0
    seconds: list[float] = dataclasses.field(default_factory=list)
    error: str | None = None

    @property
    def through(self) -> int:
        """Images that are through, well or not."""
        return len(self.outputs) + len(self.failures)


def run_images(
    command: Sequence[str],
    model: str | os.PathLike,
    inputs: np.ndarray,
    input_shape: Sequence[int],
    limit_seconds: float,
    on_image: Callable[[], None] = lambda: None,
    threads: int = 1,
    deaths: int = 3,
    others: Mapping[int, np.ndarray] | None = None,
    worker_file: str | None = None,
) -> Run:
    """Runs a file on every image.

    Args:
        command: A Python with the runtime, to which arguments are added.
        model: The file.
        inputs: Images of shape `(images, ...)` in the type of the file's input;
            each fills a batch.
        input_shape: Shape of that input, with its batch.
        limit_seconds: For one inference; the worker is killed after it.
        on_image: Is called for each image as it is through.
        threads: Of the kernels.
        deaths: Of the worker, after which it is not started again.
        others: What the file's further inputs are given beside each image, likewise, by the
            tensor's index.
        worker_file: What runs it, if not LiteRT: a worker of the same protocol.

    Raises:
        ValueError: If the worker cannot be started.
    """
    result = Run()
    with tempfile.TemporaryDirectory(prefix="care_keras_run-") as name:
        folder = pathlib.Path(name)
        np.save(folder / "inputs.npy", inputs, allow_pickle=False)
        np.savez(
            folder / "others.npz", **{str(key): array for key, array in (others or {}).items()}
        )
        request = {
            "model": os.path.abspath(model),
            "threads": threads,
            "input_shape": [int(size) for size in input_shape],
            "inputs": os.fspath(folder / "inputs.npy"),
            "others": os.fspath(folder / "others.npz"),
            "outputs": os.fspath(folder / "outputs"),
        }
        while result.through < len(inputs) and result.error is None:
            try:
                _run_on(result, command, worker_file, request, len(inputs), limit_seconds, on_image)
            except WorkerError as error:
                if not result.runtime:
                    raise ValueError(f"The runtime cannot be started. Received: {error}") from error
                result.deaths += 1
                result.failures[result.through] = str(error)
                on_image()
                if result.deaths == deaths:
                    result.not_run = len(inputs) - result.through
                    for image in range(result.through, len(inputs)):
                        result.failures[image] = f"not run after {deaths} such ends: {error}"
                        on_image()
    return result


def run_with_progress(
    command: Sequence[str],
    path: pathlib.Path,
    inputs: "Inputs",
    name: str,
    timeout_seconds: float,
    threads: int = 1,
    worker_file: str | None = None,
) -> Run:
    """`run_images` with a bar that names the run.

    Args:
        command: A Python with the runtime, to which arguments are added.
        path: The file.
        inputs: What it is run on.
        name: Of what runs it, for the bar.
        timeout_seconds: For one inference.
        threads: Of the kernels.
        worker_file: As of `run_images`.
    """
    bar = iter(progress(range(len(inputs.values)), f"running {path.name}, {name}, image"))
    run = run_images(
        command,
        path,
        inputs.values,
        inputs.shape,
        timeout_seconds,
        lambda: next(bar, None),
        threads,
        others=inputs.others,
        worker_file=worker_file,
    )
    next(bar, None)
    return run


def _run_on(result, command, worker_file, request, images, limit_seconds, on_image):
    """Runs those images that are not through yet, if the worker lives."""
    request = request | {"start": result.through}
    limit = START_SECONDS
    with (
        open(request["outputs"], "w+b") as outputs,
        open_worker(worker_file or worker.__file__, request, command) as running,
    ):
        while (image := result.through) < images:
            answer = running.next(limit)
            if "error" in answer:
                result.error = answer["error"]
                return
            if "runtime" in answer:
                result.runtime = answer["runtime"]
            elif "names" in answer:
                result.ops, result.delegated_ops = answer["ops"], answer["delegated_ops"]
                result.names = tuple(answer["names"])
                limit = limit_seconds
            else:
                if "failed" in answer:
                    result.failures[image] = answer["failed"]
                else:
                    result.outputs[image] = [
                        np.load(outputs, allow_pickle=False) for _ in result.names
                    ]
                    result.seconds.append(answer["seconds"])
                on_image()
