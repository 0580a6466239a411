"""Finds TFLite's benchmark_model on this machine."""

import pathlib
import shutil
import sys

# Where `bazel build //tflite:benchmark_model` leaves it.
BAZEL_OUTPUT = "bazel-bin/tflite/benchmark_model"
_CHECKOUT = pathlib.Path(__file__).parents[2]


def find_benchmark_model(checkout: pathlib.Path = _CHECKOUT) -> str | None:
    """The program on PATH, or else the one that Bazel built for this machine.

    Args:
        checkout: Where Bazel was run.

    Returns:
        Its path, or `None`. What Bazel built for a phone's processor is none.
    """
    on_path = shutil.which("benchmark_model")
    if on_path:
        return on_path
    built = checkout / BAZEL_OUTPUT
    if built.is_file() and _machine(built) == _machine(pathlib.Path(sys.executable)):
        return str(built)
    return None


def _machine(program):
    """The class and machine of an ELF header, by which a phone's program differs from ours."""
    with program.open("rb") as file:
        header = file.read(20)
    return header[:5], header[18:20]
