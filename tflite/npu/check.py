"""One .tflite file on the emulated NPU, against this machine's CPU."""

import dataclasses
import pathlib
import tempfile

import numpy as np

from care_keras.console.outputs import write_output
from care_keras.data.overrides import InputOverrides
from care_keras.data.sources import Source
from care_keras.tflite_file import Graph, read_graph
from tflite.inputs.real_and_extreme import make_photos
from tflite.npu.compiled import Compiled, NotCompiledError
from tflite.npu.layers import OperatorResult, operator_results
from tflite.npu.run import Runner
from tflite.runs.answers import Answers, agreement, answers_of
from tflite.runs.compare import outputs_snr_db
from tflite.runs.run import Run

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
        agreement: Share of answers that both have in common, `None` if nothing says what the
            outputs are read for.
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
    answers = answers_of(graph, path, inputs.model_input)
    with tempfile.TemporaryDirectory(prefix="care_keras_npu-") as name:
        runner = Runner(pathlib.Path(name), settings.soc, settings.timeout_seconds)
        cpu = runner.on_cpu(path, inputs)
        if cpu.error or cpu.failures:
            raise ValueError(cpu.error or next(iter(cpu.failures.values())))
        result = Result(path, settings.soc, len(inputs.values), cpu, settings)
        try:
            compiled = runner.compile(path)
        except NotCompiledError as error:
            return dataclasses.replace(result, failure=str(error))
        result = dataclasses.replace(
            result, compiled=compiled, compiled_bytes=compiled.path.stat().st_size
        )
        if settings.output_dir:
            write_output(settings.output_dir / compiled.path.name, compiled.path.read_bytes())
        npu = runner.run_compiled(compiled, path, inputs)
        if npu.error or npu.failures:
            failure = npu.error or next(iter(npu.failures.values()))
            return dataclasses.replace(result, npu=npu, failure=failure)
        result = dataclasses.replace(
            result, npu=npu, **_comparison(graph, answers, cpu, npu, labels)
        )
        if settings.operators:
            few = dataclasses.replace(
                inputs,
                families=inputs.families[:_OPERATOR_IMAGES],
                values=inputs.values[:_OPERATOR_IMAGES],
            )
            operators = operator_results(path, few, runner)
            result = dataclasses.replace(result, operators=operators)
        return result


def _comparison(
    graph: Graph, answers: Answers | None, cpu: Run, npu: Run, labels: np.ndarray | None
) -> dict:
    """The figures of `Result`."""
    pairs = [(cpu.outputs[image], npu.outputs[image]) for image in sorted(cpu.outputs)]
    found = {
        "snr_db": outputs_snr_db(graph, cpu, npu, answers),
        "agreement": agreement(answers, pairs),
    }
    shape = pairs[0][0][0].shape
    if len(graph.outputs) > 1 or len(shape) != 2 or shape[0] != 1 or shape[1] < 2:
        return found
    if labels is None or labels.max() >= shape[1]:
        return found
    picked = np.array([[one[0][0].argmax() for one in pair] for pair in pairs])
    return found | {"top1": tuple((picked == labels[:, None]).mean(axis=0).tolist())}
