"""One .tflite file on the emulated NPU, against this machine's CPU."""

import dataclasses
import pathlib
import sys
import tempfile

import numpy as np

from care_keras.console.outputs import write_output
from care_keras.data.sources import Source
from care_keras.litert.tensor import TensorInfo
from care_keras.metrics import snr_db, top1_agreement
from care_keras.tflite_file import Graph, read_graph
from tflite.inputs.overrides import InputOverrides
from tflite.inputs.real_and_extreme import Inputs, make_photos
from tflite.npu import emulator
from tflite.npu.compiled import Compiled, NotCompiledError, compile_file
from tflite.npu.layers import OperatorResult, operator_results
from tflite.runs.python import host_command
from tflite.runs.run import Run, run_with_progress

# Images on which each operator is looked at: all its tensors are held in memory.
_OPERATOR_IMAGES = 2


@dataclasses.dataclass(frozen=True)
class CheckSettings:
    """How files are run; the flags of `tflite.npu` name and explain the fields."""

    soc: str
    seed: int
    overrides: InputOverrides
    min_agreement: float
    min_snr_db: float
    timeout_seconds: float
    operators: bool
    output_dir: pathlib.Path | None


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What became of a file on one SoC.

    Attributes:
        model: The file.
        soc: The SoC it was compiled for.
        images: How many images both ran.
        cpu: The run on the CPU.
        settings: How it was run.
        compiled: What the compiler says, `None` if it failed.
        compiled_bytes: Size of what it wrote.
        npu: The run on the emulated NPU, likewise.
        agreement: Share of images of which both pick one class; `None` of what is no classifier.
        top1: Share of the labels that each gets right, CPU and NPU; `None` where there are none.
        snr_db: Signal-to-noise ratio of each output, by its name.
        operators: What each operator does; `None` if that was not asked.
        failure: Why there is no comparison, or `None`.
    """

    model: pathlib.Path
    soc: str
    images: int
    cpu: Run
    settings: CheckSettings
    compiled: Compiled | None = None
    compiled_bytes: int | None = None
    npu: Run | None = None
    agreement: float | None = None
    top1: tuple[float, float] | None = None
    snr_db: dict[str, float] = dataclasses.field(default_factory=dict)
    operators: list[OperatorResult] | None = None
    failure: str | None = None

    @property
    def verdict(self) -> str:
        """`"right"`, `"wrong"` or `"failed"`."""
        if self.failure:
            return "failed"
        right = min(self.snr_db.values()) >= self.settings.min_snr_db
        if self.agreement is not None:
            right &= self.agreement >= self.settings.min_agreement
        return "right" if right else "wrong"

    @property
    def passed(self) -> bool:
        """Whether the verdict is a good one."""
        return self.verdict == "right"


def check_file(path: pathlib.Path, source: Source, settings: CheckSettings) -> Result:
    """Compiles a file and runs it on both sides.

    Args:
        path: The file.
        source: Its images.
        settings: How.

    Raises:
        ValueError: If the file or the images cannot be used here at all.
    """
    graph = read_graph(path)
    if any(tensor.is_dynamic for tensor in graph.inputs):
        raise ValueError(
            "An NPU takes files of fixed sizes alone: convert the model with a fixed batch and "
            f"image size. Received: {path}"
        )
    inputs, labels = make_photos(path, source, settings.seed, settings.overrides)
    with tempfile.TemporaryDirectory(prefix="care_keras_npu-") as name:
        files = _Files(pathlib.Path(name), settings)
        cpu = files.on_cpu(path, inputs, "the CPU")
        if cpu.error or cpu.failures:
            raise ValueError(cpu.error or next(iter(cpu.failures.values())))
        result = Result(path, settings.soc, len(inputs.values), cpu, settings)
        try:
            compiled = files.compile(path)
        except NotCompiledError as error:
            return dataclasses.replace(result, failure=str(error))
        result = dataclasses.replace(
            result, compiled=compiled, compiled_bytes=compiled.path.stat().st_size
        )
        if settings.output_dir:
            write_output(settings.output_dir / compiled.path.name, compiled.path.read_bytes())
        npu = files.run_compiled(compiled, path, inputs, "the emulated NPU")
        if npu.error or npu.failures:
            failure = npu.error or next(iter(npu.failures.values()))
            return dataclasses.replace(result, npu=npu, failure=failure)
        result = dataclasses.replace(result, npu=npu, **_comparison(graph, cpu, npu, labels))
        if settings.operators:
            few = dataclasses.replace(
                inputs,
                families=inputs.families[:_OPERATOR_IMAGES],
                values=inputs.values[:_OPERATOR_IMAGES],
            )
            operators = operator_results(path, few, files.folder, files.on_cpu, files.on_npu)
            result = dataclasses.replace(result, operators=operators)
        return result


def _comparison(graph: Graph, cpu: Run, npu: Run, labels: np.ndarray | None) -> dict:
    """The figures of `Result`."""
    images = sorted(cpu.outputs)
    snr = {}
    for index, tensor in enumerate(graph.outputs):
        info = TensorInfo.of_tensor(tensor)
        first, second = (
            info.dequantize(np.stack([run.outputs[image][index] for image in images]))
            for run in (cpu, npu)
        )
        snr[tensor.name] = snr_db(second, first)
    if len(graph.outputs) > 1 or first.ndim != 3 or first.shape[1] != 1 or first.shape[2] < 2:
        return {"snr_db": snr}
    first, second = first[:, 0], second[:, 0]
    right = None
    if labels is not None and labels.max() < first.shape[1]:
        right = tuple(float(np.mean(one.argmax(1) == labels)) for one in (first, second))
    return {"snr_db": snr, "agreement": top1_agreement(second, first), "top1": right}


class _Files:
    """Runs files in a folder for what is written on the way."""

    def __init__(self, folder: pathlib.Path, settings: CheckSettings):
        self.folder, self._settings, self._compiled = folder, settings, 0

    def on_cpu(self, path: pathlib.Path, inputs: Inputs, name: str) -> Run:
        return self._run(path, inputs, name)

    def on_npu(self, path: pathlib.Path, inputs: Inputs, name: str) -> Run:
        return self.run_compiled(self.compile(path), path, inputs, name)

    def compile(self, path: pathlib.Path) -> Compiled:
        print(f"compiling {path.name} for {self._settings.soc}", file=sys.stderr, flush=True)
        self._compiled += 1
        return compile_file(
            path,
            self._settings.soc,
            self.folder / f"compiled {self._compiled}",
            self._settings.timeout_seconds,
        )

    def run_compiled(
        self, compiled: Compiled, path: pathlib.Path, inputs: Inputs, name: str
    ) -> Run:
        """The compiled file has the inputs of the file in the same order, under other indices."""
        before, after = read_graph(path).inputs, read_graph(compiled.path).inputs
        others = {
            new.index: inputs.others[old.index]
            for old, new in zip(before, after, strict=True)
            if old.index in inputs.others
        }
        inputs = dataclasses.replace(inputs, others=others)
        return self._run(compiled.path, inputs, name, worker_file=emulator.__file__)

    def _run(self, file, inputs, name, **worker):
        return run_with_progress(
            host_command(), file, inputs, name, self._settings.timeout_seconds, **worker
        )
