"""Where a .tflite file can be run here: each gives a `Run` of the same inputs."""

import contextlib
import dataclasses
import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence

from care_keras.console.optional import require_installed
from care_keras.files import user_cache
from care_keras.tflite_file import read_graph
from tflite.inputs.real_and_extreme import Inputs
from tflite.runs.python import command_of, host_command
from tflite.runs.run import Run, run_with_progress


@dataclasses.dataclass(frozen=True)
class Side:
    """A runtime on a processor.

    Attributes:
        name: For people, `"cortex-a53, 4 threads"`; of a Python what its runtime says of itself.
        run: Runs a file there.
        real_time: Whether its times are those of a processor, and no emulator's.
    """

    name: str | None
    run: Callable[[pathlib.Path, Inputs], Run]
    real_time: bool = False


def here(timeout_seconds: float) -> Side:
    """This environment's runtime."""

    def run(path, inputs):
        return run_with_progress(host_command(), path, inputs, "this environment", timeout_seconds)

    return Side(None, run, real_time=True)


def of_python(python: str, timeout_seconds: float) -> Side:
    """Another environment's."""

    def run(path, inputs):
        return run_with_progress(command_of(python), path, inputs, python, timeout_seconds)

    return Side(None, run, real_time=True)


@contextlib.contextmanager
def arm64(
    cores: Sequence[str], threads: Sequence[int], timeout_seconds: float
) -> Iterator[list[Side]]:
    """Emulated ARM64 cores, with each number of threads.

    Raises:
        ValueError: If the emulator is not set up, or a core not known to it.
    """
    from tflite.arm64 import pins
    from tflite.arm64.cache import Cache
    from tflite.arm64.emulator import find_emulator

    emulator = find_emulator(Cache(user_cache("arm64")), pins.DEFAULT_RUNTIME)

    def side(core, command, count):
        name = f"{core}, {count} thread{'s' if count > 1 else ''}"

        def run(path, inputs):
            return run_with_progress(command, path, inputs, name, timeout_seconds, count)

        return Side(name, run)

    with contextlib.ExitStack() as stack:
        commands = {core: stack.enter_context(emulator.as_core(core)) for core in cores}
        yield [side(core, command, n) for core, command in commands.items() for n in threads]


def npu(soc: str, timeout_seconds: float) -> Side:
    """Qualcomm's NPU, emulated."""
    from tflite.npu.compiled import NotCompiledError, check_soc, require_packages
    from tflite.npu.run import Runner

    require_packages()
    check_soc(soc)

    def run(path, inputs):
        with tempfile.TemporaryDirectory(prefix="care_keras_npu-") as folder:
            runner = Runner(pathlib.Path(folder), soc, timeout_seconds)
            try:
                compiled = runner.compile(path)
            except NotCompiledError as error:
                return Run(error=str(error))
            run = runner.run_compiled(compiled, path, inputs)
        run.ops, run.delegated_ops = compiled.operators, compiled.taken
        return run

    return Side(f"Qualcomm {soc}, emulated", run)


def openvino(timeout_seconds: float) -> Side:
    """OpenVINO's CPU plugin, which computes with the real numbers that codes stand for."""
    require_installed("openvino", "openvino")
    from tflite.openvino.run import MODES, run_in_openvino

    def run(path, inputs):
        limit = timeout_seconds * len(inputs.values)
        try:
            runs, _ = run_in_openvino(path, inputs, MODES[:1], limit)
        except ValueError as error:
            return Run(error=str(error))
        return runs[MODES[0]]

    return Side("OpenVINO, CPU", run)


def gpu(timeout_seconds: float) -> Side:
    """LiteRT's GPU accelerator, in half precision where the device has it, as apps get it."""
    from tflite.audit.gpu.check import acceleration, attempt_on_gpu
    from tflite.audit.inputs import AuditInputs

    def run(path, inputs):
        graph = read_graph(path)
        chosen = AuditInputs(inputs.by_index(graph), "images", are_images=True)
        print(f"running {path.name} on the GPU", file=sys.stderr, flush=True)
        limit = timeout_seconds * len(inputs.values)
        attempt, _ = attempt_on_gpu(path, chosen, "float16", limit)
        word, message = acceleration(attempt, graph)
        keys = [f"gpu/{one.index}" for one in graph.outputs]
        if message is None and not all(key in attempt.results for key in keys):
            message = "its outputs cannot be read"
        if message is not None:
            return Run(error=f"{word}: {message}")
        return Run(
            ops=len(graph.operators),
            delegated_ops=len(graph.operators) if word == "full" else attempt.log.on_gpu,
            names=tuple(one.name for one in graph.outputs),
            outputs={
                image: [attempt.results[key][image] for key in keys]
                for image in range(len(inputs.values))
            },
        )

    return Side("LiteRT's GPU accelerator", run)
