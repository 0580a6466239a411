"""Runs a .tflite file over images in a worker that may hang or die, and starts it anew."""

import contextlib
import dataclasses
import json
import os
import pathlib
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence

import numpy as np

from tflite.arm64.worker import MARK
from tflite.child.program import Finished, last_line

# Deaths of the worker after which it is not started again.
_DEATHS = 3
# Imports alone take half a minute where an emulator runs on a busy machine.
_START_SECONDS = 300


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
        seconds: Of each inference that ran.
        error: Why nothing could be run at all, or `None`.
    """

    runtime: dict = dataclasses.field(default_factory=dict)
    ops: int | None = None
    delegated_ops: int | None = None
    names: tuple[str, ...] = ()
    outputs: dict[int, list[np.ndarray]] = dataclasses.field(default_factory=dict)
    failures: dict[int, str] = dataclasses.field(default_factory=dict)
    seconds: list[float] = dataclasses.field(default_factory=list)
    error: str | None = None


def run_images(
    command: Sequence[str],
    model: str | os.PathLike,
    inputs: np.ndarray,
    input_shape: Sequence[int],
    limit_seconds: float,
    on_image: Callable[[], None] = lambda: None,
    threads: int = 1,
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

    Raises:
        ValueError: If the worker cannot be started.
    """
    result = Run()
    with tempfile.TemporaryDirectory(prefix="care_keras_arm64-") as name:
        folder = pathlib.Path(name)
        np.save(folder / "inputs.npy", inputs, allow_pickle=False)
        request = {
            "model": os.path.abspath(model),
            "threads": threads,
            "input_shape": [int(size) for size in input_shape],
            "inputs": os.fspath(folder / "inputs.npy"),
            "outputs": os.fspath(folder / "output-"),
        }
        image = deaths = 0
        while image < len(inputs) and result.error is None:
            with _Worker(command, request | {"start": image}, folder / "stderr") as worker:
                image, why = _collect(worker, result, image, len(inputs), limit_seconds, on_image)
            if why is None:
                continue
            if not result.runtime:
                raise ValueError(f"The runtime cannot be started. Received: {why}")
            deaths += 1
            result.failures[image] = why
            on_image()
            image += 1
            if deaths == _DEATHS:
                for left in range(image, len(inputs)):
                    result.failures[left] = f"not run after {deaths} such ends: {why}"
                    on_image()
                break
    return result


def _collect(worker, result, image, images, limit_seconds, on_image):
    """`(next image, why the worker came to an early end or None)`."""
    limit = _START_SECONDS
    while image < images:
        event = worker.next_event(limit)
        if event is None:
            return image, worker.end(limit)
        kind = event.pop("event")
        if kind == "runtime":
            result.runtime = event
        elif kind == "error":
            result.error = event["error"]
            return image, None
        elif kind == "opened":
            result.ops, result.delegated_ops = event["ops"], event["delegated_ops"]
            result.names = tuple(event["names"])
            limit = limit_seconds
        else:
            if kind == "failed":
                result.failures[image] = event["error"]
            else:
                result.outputs[image] = worker.outputs(image)
                result.seconds.append(event["seconds"])
            on_image()
            image += 1
    return image, None


class _Worker:
    """A worker process; leaving the `with` block ends it and all that it started."""

    def __init__(self, command, request, stderr_path):
        self._prefix = request["outputs"]
        self._stderr_path = stderr_path
        self._lines = queue.Queue()
        with open(stderr_path, "w") as stderr:
            try:
                self._process = subprocess.Popen(
                    [*command, "-m", "tflite.arm64.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                )
            except OSError as error:
                raise ValueError(
                    f"The worker cannot be started. Received: {command[0]} ({error.strerror})"
                ) from error
        threading.Thread(target=self._read, daemon=True).start()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request))
            self._process.stdin.close()

    def _read(self):
        with contextlib.suppress(ValueError, OSError):
            for line in self._process.stdout:
                if line.startswith(MARK):
                    self._lines.put(json.loads(line.removeprefix(MARK)))
        self._lines.put(None)

    def next_event(self, seconds: float) -> dict | None:
        """What it says next; `None` if it ends or says nothing for so long."""
        try:
            return self._lines.get(timeout=seconds)
        except queue.Empty:
            return None

    def end(self, seconds: float) -> str:
        """How it came to an end, or that it had to be ended, in words."""
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return f"no answer within {seconds:g} s"
        said = self._stderr_path.read_text(errors="replace")
        return f"the process {Finished(code, '', said).ending} ({last_line(said)})"

    def outputs(self, image: int) -> list[np.ndarray]:
        """The outputs of an image; their file is gone after it."""
        path = pathlib.Path(f"{self._prefix}{image}.npz")
        with np.load(path, allow_pickle=False) as archive:
            arrays = [archive[f"arr_{index}"] for index in range(len(archive.files))]
        path.unlink()
        return arrays

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()
