"""Runs a .tflite file in OpenVINO, in a child process."""

import os
import pathlib
import sys
import tempfile
from collections.abc import Sequence

import numpy as np

from tflite.child.worker import ask
from tflite.openvino import worker

# The real numbers that codes stand for, and kernels that work on codes.
MODES = ("real numbers", "int8 kernels")


def run_in_openvino(
    path: pathlib.Path,
    inputs: np.ndarray,
    shape: Sequence[int],
    modes: Sequence[str],
    timeout_seconds: float,
) -> tuple[dict[str, np.ndarray], str]:
    """Runs a file of one input, on OpenVINO's CPU plugin.

    Args:
        path: The file.
        inputs: Images `(images, ...)` in the input's type; each fills a batch.
        shape: The input's shape, with its batch.
        modes: Some of `MODES`.
        timeout_seconds: For all of it.

    Returns:
        The first output of each image, the first of its batch, by mode; and what ran.

    Raises:
        ValueError: If OpenVINO cannot read or run the file.
    """
    with tempfile.TemporaryDirectory(prefix="care_keras_openvino-") as name:
        folder = pathlib.Path(name)
        np.save(folder / "inputs.npy", inputs, allow_pickle=False)
        request = {
            "model": os.fspath(path),
            "inputs": os.fspath(folder / "inputs.npy"),
            "input_shape": [int(size) for size in shape],
            "outputs": os.fspath(folder / "outputs of "),
            "modes": tuple(modes),
        }
        print(f"running {path.name} in OpenVINO", file=sys.stderr, flush=True)
        answer = ask("OpenVINO", worker.__file__, request, timeout_seconds)
        outputs = {
            mode: np.load(folder / f"outputs of {mode}.npy", allow_pickle=False) for mode in modes
        }
    return outputs, f"OpenVINO {answer['version']} on {answer['device'].strip()}"
