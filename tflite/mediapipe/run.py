"""Runs a .tflite file in MediaPipe, in a child process."""

import os
import pathlib
import sys
import tempfile

import numpy as np

from tflite.child.worker import ask
from tflite.mediapipe import worker
from tflite.mediapipe.litert import OnImages


class RefusedError(Exception):
    """MediaPipe does not run a file."""


def run_in_mediapipe(
    task: str, litert: OnImages, timeout_seconds: float, **options
) -> tuple[np.ndarray, dict]:
    """What MediaPipe finds in the images that LiteRT was run on.

    Args:
        task: As of the worker.
        litert: The file and its images.
        timeout_seconds: For all of it.
        **options: The worker's, of the task.

    Returns:
        The worker's array, and its answer.

    Raises:
        RefusedError: If MediaPipe does not take the file or cannot run it.
    """
    path = litert.path
    with tempfile.TemporaryDirectory(prefix="care_keras_mediapipe-") as name:
        folder = pathlib.Path(name)
        np.save(folder / "images.npy", litert.pixels, allow_pickle=False)
        request = {
            "task": task,
            "model": os.path.abspath(path),
            "images": os.fspath(folder / "images.npy"),
            "found": os.fspath(folder / "found.npy"),
            **options,
        }
        print(f"{task} with {path.name} in MediaPipe", file=sys.stderr, flush=True)
        try:
            answer = ask("MediaPipe", worker.__file__, request, timeout_seconds)
        except ValueError as error:
            raise RefusedError(f"{error}{_way_out(litert)}") from error
        return np.load(folder / "found.npy", allow_pickle=False), answer


def _way_out(litert):
    """What to convert otherwise, where MediaPipe is known to refuse a file."""
    of_detector = (litert.model_input.task or {}).get("name") == "detection"
    if not of_detector and any(one.dtype == np.int8 for one in litert.tensors.values()):
        return ": convert with --output_type=uint8"
    if litert.model_input.kind == "float":
        return ": convert with --input=rgb_uint8"
    return ""
