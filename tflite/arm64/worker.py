"""Runs one .tflite file on given inputs, here or under emulation.

For `tflite.child.worker`. It imports NumPy and the runtime alone, as that is all
that an emulated Python has. A kernel that aborts takes only this process along.
"""

import importlib.metadata
import platform
import time
from collections.abc import Iterator

import numpy as np

from tflite.benchmark.worker import delegated_ops


def work(request: dict) -> Iterator[dict]:
    """Opens the model, and runs it on the images from `start` on.

    Args:
        request: `model`, a path; `threads` of its kernels; `input_shape`, the
            shape to run it with; `inputs`, a .npy file of shape `(images, ...)`
            in the input's type, of which each image fills a batch; `start`;
            `outputs`, a file to which each image's outputs are added as .npy.

    Yields:
        What runs, `{"runtime": {"package": ..., "machine": ...}}`; `names` of
        the outputs and `delegated_ops`; then for each image `seconds`, or why
        it `failed`.

    Raises:
        ValueError: If the runtime cannot open the file.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter

        package = "ai-edge-litert"
    except ModuleNotFoundError:
        from tflite_runtime.interpreter import Interpreter

        package = "tflite-runtime"
    runtime = {
        "package": package,
        "version": importlib.metadata.version(package),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
    }
    yield {"runtime": runtime}
    inputs = np.load(request["inputs"], mmap_mode="r", allow_pickle=False)
    shape = tuple(request["input_shape"])
    interpreter = Interpreter(model_path=request["model"], num_threads=request["threads"])
    details = interpreter.get_input_details()[0]
    if tuple(details["shape"]) != shape:
        interpreter.resize_tensor_input(details["index"], shape)
    interpreter.allocate_tensors()
    outputs = interpreter.get_output_details()
    names = [output["name"] for output in outputs]
    yield {"names": names, **delegated_ops(interpreter)}
    with open(request["outputs"], "ab") as file:
        for image in inputs[request["start"] :]:
            interpreter.set_tensor(details["index"], np.broadcast_to(image, shape))
            started = time.perf_counter()
            try:
                interpreter.invoke()
            except RuntimeError as error:
                yield {"failed": " ".join(str(error).split())}
                continue
            seconds = time.perf_counter() - started
            for output in outputs:
                np.save(file, interpreter.get_tensor(output["index"]))
            file.flush()
            yield {"seconds": seconds}
