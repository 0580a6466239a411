"""Runs of .tflite files on the emulated NPU and on the CPU, on the same inputs."""

import dataclasses
import pathlib
import sys

from care_keras.tflite_file import read_graph
from tflite.inputs.real_and_extreme import Inputs
from tflite.npu import emulator
from tflite.npu.compiled import Compiled, compile_file
from tflite.runs.python import host_command
from tflite.runs.run import Run, run_with_progress


class Runner:
    """Compiles and runs files.

    Args:
        folder: For what is written on the way.
        soc: The SoC that is compiled for.
        timeout_seconds: For compiling, and for one inference.
    """

    def __init__(self, folder: pathlib.Path, soc: str, timeout_seconds: float):
        self.folder, self._soc, self._timeout_seconds = folder, soc, timeout_seconds
        self._compiled = 0

    def on_cpu(self, path: pathlib.Path, inputs: Inputs) -> Run:
        """A run in LiteRT."""
        return self._run(path, inputs, "the CPU")

    def on_npu(self, path: pathlib.Path, inputs: Inputs) -> Run:
        """A run of what the compiler makes of a file.

        Raises:
            NotCompiledError: If it fails.
        """
        return self.run_compiled(self.compile(path), path, inputs)

    def compile(self, path: pathlib.Path) -> Compiled:
        """Compiles a file.

        Raises:
            NotCompiledError: If the compiler fails.
        """
        print(f"compiling {path.name} for {self._soc}", file=sys.stderr, flush=True)
        self._compiled += 1
        folder = self.folder / f"compiled {self._compiled}"
        return compile_file(path, self._soc, folder, self._timeout_seconds)

    def run_compiled(self, compiled: Compiled, path: pathlib.Path, inputs: Inputs) -> Run:
        """Runs what was compiled.

        Args:
            compiled: It has the inputs of the file in the same order, under other indices.
            path: The file.
            inputs: What the file is given.
        """
        before, after = read_graph(path).inputs, read_graph(compiled.path).inputs
        others = {
            new.index: inputs.others[old.index]
            for old, new in zip(before, after, strict=True)
            if old.index in inputs.others
        }
        inputs = dataclasses.replace(inputs, others=others)
        name = "the emulated NPU"
        return self._run(compiled.path, inputs, name, worker_file=emulator.__file__)

    def _run(self, file, inputs, name, **worker):
        return run_with_progress(
            host_command(), file, inputs, name, self._timeout_seconds, **worker
        )
