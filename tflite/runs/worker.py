"""Runs one .tflite file on given inputs, here or under emulation.

For `tflite.child.worker`. It imports NumPy, the runtime and modules that need no
more, as that is all that an emulated Python has. A kernel that aborts takes only
this process along.
"""

import importlib.metadata
import platform
import time
from collections.abc import Iterator

import numpy as np

from care_keras.litert.file import LiteRTFile, runtime
from tflite.benchmark.worker import delegated_ops


def work(request: dict) -> Iterator[dict]:
    """Opens the model, and runs it on the images from `start` on.

    Args:
        request: `model`, a path; `threads` of its kernels; `input_shape`, the
            shape to open the images' input with; `inputs`, a .npy file of shape
            `(images, ...)` in that input's type, of which each image fills a
            batch; `others`, an .npz of the same for each further input by its
            tensor's index; `start`; `outputs`, a file to which each image's
            outputs are added as .npy.

    Yields:
        What runs, `{"runtime": {"package": ..., "machine": ...}}`; `names` of
        the outputs and `delegated_ops`; then for each image `seconds`, or why
        it `failed`.

    Raises:
        ValueError: If the runtime cannot open the file.
    """
    yield what_runs(runtime().__name__.partition(".")[0].replace("_", "-"))
    images, others = load_inputs(request)

    def shapes(details):
        image = [name for name, one in details.items() if one["index"] not in others]
        return dict.fromkeys(image, request["input_shape"])

    file = LiteRTFile(request["model"], request["threads"], shapes, strict=False)
    yield {"names": list(file.outputs), **delegated_ops(file.interpreter)}
    with open(request["outputs"], "ab") as outputs:
        for place in range(request["start"], len(images)):
            file.feed(
                {
                    name: np.broadcast_to(others.get(tensor.index, images)[place], tensor.shape)
                    for name, tensor in file.inputs.items()
                }
            )
            started = time.perf_counter()
            try:
                # For the kernel's own words.
                file.interpreter.invoke()
            except RuntimeError as error:
                yield {"failed": " ".join(str(error).split())}
                continue
            seconds = time.perf_counter() - started
            for output in file.results().values():
                np.save(outputs, output)
            outputs.flush()
            yield {"seconds": seconds}


def what_runs(package: str) -> dict:
    """The first answer of a worker, of the package that is its runtime."""
    return {
        "runtime": {
            "package": package,
            "version": importlib.metadata.version(package),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "machine": platform.machine(),
        }
    }


def load_inputs(request: dict) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """A request's `inputs`, and its `others` by the tensor's index."""
    images = np.load(request["inputs"], mmap_mode="r", allow_pickle=False)
    with np.load(request["others"], allow_pickle=False) as archive:
        return images, {int(index): archive[index] for index in archive.files}
