"""Google's litert-quantizer beside ours: static int8, ranges from smallest and largest values."""

import contextlib
import importlib.util
import io
import pathlib

import numpy as np

from care_keras.console.native_output import captured_native_output
from care_keras.files import first_line
from care_keras.tflite_file import read_graph


def is_installed() -> bool:
    """Whether the package is there: the extra `zoo`."""
    return importlib.util.find_spec("litert_quantizer") is not None


def quantize(path: pathlib.Path, inputs: np.ndarray, output: pathlib.Path) -> None:
    """Writes an int8 file with float inputs and outputs.

    Args:
        path: A float32 .tflite of one input.
        inputs: float32 `(images, height, width, channels)` that set the ranges.
        output: Where to.

    Raises:
        ValueError: If the package gives up.
    """
    from litert_quantizer import quantizer, recipe

    try:
        with _quiet():
            work = quantizer.Quantizer(str(path))
            work.load_quantization_recipe(recipe.static_wi8_ai8())
            signature = _signature(path)
            data = {signature[0]: [{signature[1]: one[None]} for one in inputs]}
            work.quantize(work.calibrate(data)).export_model(str(output), overwrite=True)
    except Exception as error:
        raise ValueError(f"litert-quantizer gave up: {first_line(error)}") from error


@contextlib.contextmanager
def _quiet():
    """Keeps its bars, warnings and figures away from the user."""
    sink = io.StringIO()
    with (
        contextlib.redirect_stdout(sink),
        contextlib.redirect_stderr(sink),
        captured_native_output(),
    ):
        yield


def _signature(path):
    """Names of the signature and of its input."""
    (signature,) = read_graph(path).signatures
    return signature.key, next(iter(signature.inputs))
