"""What is fuzzed: by the name of each format the module that has it, loaded in its worker alone."""

import dataclasses
import importlib
import pathlib
import random
from collections.abc import Callable

# The fastest first. What a family needs that is not installed is said in one line.
MODULES = {
    "logs": "logs",
    "phones": "phones",
    "sidecars": "documents",
    "labels": "documents",
    "reports": "documents",
    "counts": "documents",
    "summaries": "documents",
    "runs": "records",
    "run folders": "run_folders",
    "checkpoints": "arrays",
    "examples": "arrays",
    "images": "images",
    "tflite": "tflite_files",
    "tflite run": "tflite_files",
    "tflite lifted": "tflite_files",
    "keras": "keras_files",
    "weights": "keras_files",
    "pytorch": "pytorch_files",
    "safetensors": "pytorch_files",
}


@dataclasses.dataclass(frozen=True)
class Format:
    """One kind of file, and who reads it.

    Attributes:
        suffix: What names of such files end in.
        corpus: Makes sound files, by name.
        mutate: Makes another file of one of them, with others to take parts of.
        read: Reads a file as the library does; what it raises is judged.
        names_file: Whether errors say which file it is, as the library's do; not those that
            a command completes.
    """

    suffix: str
    corpus: Callable[[], dict[str, bytes]]
    mutate: Callable[[random.Random, bytes, list[bytes]], bytes]
    read: Callable[[pathlib.Path], None]
    names_file: bool = True


def find(name: str) -> Format:
    """The format of that name, or of `MODULE:NAME`, which is none of the library's.

    Raises:
        ImportError: If a package that it needs is not installed.
    """
    module, _, name = name.rpartition(":")
    module = module or f"tests.fuzz.formats.{MODULES[name]}"
    return importlib.import_module(module).FORMATS[name]
