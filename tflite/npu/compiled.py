"""Compiling a .tflite file for an NPU, in a child process."""

import dataclasses
import pathlib

from care_keras.console.optional import require, require_installed
from care_keras.tflite_file import read_graph
from tflite.child.worker import ask
from tflite.npu import compiler
from tflite.npu.partitions import DISPATCH

# What the child processes import.
_PACKAGES = ("onnxruntime_qnn", "onnxruntime", "onnx")


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A file that was compiled.

    Attributes:
        path: What the compiler wrote.
        operators: Of the file.
        taken: How many of them the NPU runs.
        partitions: In how many pieces.
        left: The operators that stay on the CPU, in their order: `"ATAN2"`.
    """

    path: pathlib.Path
    operators: int
    taken: int
    partitions: int
    left: tuple[str, ...]


class NotCompiledError(ValueError):
    """The compiler fails on a file."""


def require_packages() -> None:
    """Raises MissingDependencyError where a package of the extra `npu` is not installed."""
    for package in _PACKAGES:
        require_installed(package, "npu")


def known_socs() -> tuple[str, ...]:
    """Qualcomm's SoCs that this LiteRT compiles for.

    Raises:
        MissingDependencyError: If LiteRT comes without a compiler, as on other systems than Linux.
    """
    target = require("ai_edge_litert.aot.vendors.qualcomm.target", "npu")
    return tuple(one.value for one in target.SocModel if one is not target.SocModel.ALL)


def check_soc(soc: str) -> None:
    """Raises ValueError unless this LiteRT compiles for a SoC."""
    if soc not in (known := known_socs()):
        raise ValueError(f"LiteRT compiles for {', '.join(known)}. Received: SoC {soc}")


def compile_file(
    path: pathlib.Path, soc: str, folder: pathlib.Path, timeout_seconds: float
) -> Compiled:
    """Compiles a file.

    Args:
        path: The file.
        soc: One of `known_socs`.
        folder: A folder for what is written, which is made.
        timeout_seconds: Time after which the compiler is killed.

    Raises:
        NotCompiledError: If the compiler fails, crashes or takes too long.
    """
    folder.mkdir(parents=True)
    compiled = folder / f"{path.stem}_{soc}.tflite"
    request = {
        "model": str(path.resolve()),
        "soc": soc,
        "folder": str(folder.resolve()),
        "compiled": str(compiled.resolve()),
    }
    try:
        answer = ask("LiteRT's compiler", compiler.__file__, request, timeout_seconds)
    except ValueError as error:
        raise NotCompiledError(str(error)) from error
    left = tuple(one.label for one in read_graph(compiled).operators if one.custom_code != DISPATCH)
    return Compiled(compiled, left=left, **answer)
