"""Runs one .tflite file on given inputs, here or under emulation: `-m tflite.arm64.worker`.

It imports NumPy and the runtime alone, as that is all that an emulated Python
has. The request is JSON on stdin; answers are lines of JSON on stdout, each
after `MARK`, as the runtime prints what it likes between them. Arrays go
through .npy and .npz files. A kernel that aborts takes only this process along.
"""

import contextlib
import importlib.metadata
import json
import platform
import sys
import time

import numpy as np

from tflite.benchmark.worker import delegated_ops

MARK = "arm64_worker: "


def load_runtime() -> tuple[type, str, str]:
    """`(Interpreter, package, version)` of the runtime that is installed.

    Raises:
        ImportError: If neither LiteRT nor TensorFlow Lite is.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter

        package = "ai-edge-litert"
    except ModuleNotFoundError:
        from tflite_runtime.interpreter import Interpreter

        package = "tflite-runtime"
    return Interpreter, package, importlib.metadata.version(package)


def describe() -> dict:
    """What runs: package and version, Python, NumPy, processor as this process sees it."""
    _, package, version = load_runtime()
    return {
        "package": package,
        "version": version,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
    }


def run(request: dict, answer) -> None:
    """Opens the model, and runs it on the images from `start` on.

    Args:
        request: `model`, a path; `threads` of its kernels; `input_shape`, the
            shape to run it with; `inputs`, a .npy file of shape `(images, ...)`
            in the input's type, of which each image fills a batch; `start`;
            `outputs`, a path's beginning to which the number of the image and
            `.npz` are added.
        answer: Is called with `{"event": "opened", ...}` once, then for each
            image with `{"event": "done" or "failed", "image": i, ...}`.

    Raises:
        ValueError: If the runtime cannot open the file.
    """
    interpreter_type, _, _ = load_runtime()
    threads = request["threads"]
    inputs = np.load(request["inputs"], mmap_mode="r", allow_pickle=False)
    shape = tuple(request["input_shape"])
    try:
        interpreter = interpreter_type(model_path=request["model"], num_threads=threads)
        details = interpreter.get_input_details()[0]
        if tuple(details["shape"]) != shape:
            interpreter.resize_tensor_input(details["index"], shape)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ValueError(_plain(error)) from error
    outputs = interpreter.get_output_details()
    names = [output["name"] for output in outputs]
    answer({"event": "opened", "names": names, **_delegation(interpreter)})
    for image in range(request["start"], len(inputs)):
        interpreter.set_tensor(details["index"], np.broadcast_to(inputs[image], shape))
        started = time.perf_counter()
        try:
            interpreter.invoke()
        except RuntimeError as error:
            answer({"event": "failed", "image": image, "error": _plain(error)})
            continue
        seconds = time.perf_counter() - started
        arrays = [interpreter.get_tensor(output["index"]) for output in outputs]
        np.savez(f"{request['outputs']}{image}.npz", *arrays)
        answer({"event": "done", "image": image, "seconds": seconds})


def _delegation(interpreter):
    # Private to the runtime, and in its way with tensors of types that NumPy lacks.
    with contextlib.suppress(Exception):
        return delegated_ops(interpreter)
    return {"ops": None, "delegated_ops": None, "partitions": None}


def _plain(error):
    return " ".join(str(error).split())


def _answer(event):
    print(MARK + json.dumps(event), flush=True)


def main() -> None:
    """Answers one request."""
    request = json.load(sys.stdin)
    _answer({"event": "runtime", **describe()})
    try:
        run(request, _answer)
    except ValueError as error:
        _answer({"event": "error", "error": str(error)})


if __name__ == "__main__":
    main()
