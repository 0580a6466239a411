"""Runs a .tflite file in OpenVINO, in a child process."""

import os
import pathlib
import sys
import tempfile
from collections.abc import Sequence

import numpy as np

from care_keras.tflite_file import read_graph
from tflite.child.worker import ask
from tflite.inputs.real_and_extreme import Inputs
from tflite.openvino import worker
from tflite.runs.run import Run

# The real numbers that codes stand for, and kernels that work on codes.
MODES = ("real numbers", "int8 kernels")


def run_in_openvino(
    path: pathlib.Path, inputs: Inputs, modes: Sequence[str], timeout_seconds: float
) -> tuple[dict[str, Run], str]:
    """Runs a file of one input, on OpenVINO's CPU plugin.

    Args:
        path: The file.
        inputs: Images for it.
        modes: Some of `MODES`.
        timeout_seconds: For all of it.

    Returns:
        What each mode gives, without its seconds; and what ran.

    Raises:
        ValueError: If OpenVINO cannot read or run the file, or it has several inputs.
    """
    graph = read_graph(path)
    if len(graph.inputs) != 1:
        raise ValueError(
            f"Files of one input alone are run in OpenVINO. Received: {len(graph.inputs)} inputs "
            f"in {os.fspath(path)}"
        )
    with tempfile.TemporaryDirectory(prefix="care_keras_openvino-") as name:
        folder = pathlib.Path(name)
        np.save(folder / "inputs.npy", inputs.values, allow_pickle=False)
        request = {
            "model": os.fspath(path),
            "inputs": os.fspath(folder / "inputs.npy"),
            "input_shape": [int(size) for size in inputs.shape],
            "outputs": os.fspath(folder / "outputs of "),
            "modes": tuple(modes),
        }
        print(f"running {path.name} in OpenVINO", file=sys.stderr, flush=True)
        answer = ask("OpenVINO", worker.__file__, request, timeout_seconds)
        runs = {mode: _run(folder, mode, answer["outputs"], graph) for mode in modes}
    return runs, f"OpenVINO {answer['version']} on {answer['device'].strip()}"


def _run(folder, mode, count, graph):
    outputs = [
        np.load(folder / f"outputs of {mode} {place}.npy", allow_pickle=False)
        for place in range(count)
    ]
    return Run(
        names=tuple(one.name for one in graph.outputs),
        outputs=dict(enumerate(map(list, zip(*outputs, strict=True)))),
    )
