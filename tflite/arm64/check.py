"""One .tflite file on all emulated cores, against this machine."""

import contextlib
import dataclasses
import itertools
import pathlib
import tempfile
from collections.abc import Mapping, Sequence

from care_keras.data.overrides import InputOverrides
from care_keras.tflite_file import read_graph
from tflite.arm64.emulator import Emulator
from tflite.arm64.report import Result, format_partings, format_results, format_versions, to_dict
from tflite.benchmark.machine import cpu_name
from tflite.inputs.odd_inputs import FAMILIES
from tflite.inputs.real_and_extreme import make_inputs
from tflite.runs.answers import answers_of
from tflite.runs.compare import compare
from tflite.runs.python import host_command
from tflite.runs.run import run_with_progress
from tflite.runs.tensors import expose_tensors, partings, same_outputs


@dataclasses.dataclass(frozen=True)
class CheckSettings:
    """How files are run; the flags of `tflite.arm64` name and explain the fields."""

    cores: Sequence[str]
    threads: Sequence[int]
    data: str
    images: int
    seed: int
    overrides: InputOverrides
    max_codes: int
    tolerance: float
    timeout_seconds: float
    operators: bool


def check_file(
    path: pathlib.Path, emulators: Mapping[str, Emulator], settings: CheckSettings
) -> tuple[dict, list[str]]:
    """Runs one file everywhere and prints the table.

    Args:
        path: The .tflite file.
        emulators: By the runtime's version.
        settings: How.

    Returns:
        Its record as JSON has it, and where it did not hold.

    Raises:
        ValueError: If the file, the images or a core cannot be used.
    """
    inputs = make_inputs(path, settings.data, settings.images, settings.seed, settings.overrides)
    graph = read_graph(path)
    answers = answers_of(graph, path, inputs.model_input)
    results = []
    with contextlib.ExitStack() as stack:
        # All of them before the first is used: a core that qemu lacks is found out at once.
        commands = {
            (runtime, core): stack.enter_context(emulator.as_core(core))
            for runtime, emulator in emulators.items()
            for core in settings.cores
        }
        limit = settings.timeout_seconds
        host = run_with_progress(host_command(), path, inputs, "host", limit)
        if host.error:
            raise ValueError(host.error)
        for ((runtime, core), command), count in itertools.product(
            commands.items(), settings.threads
        ):
            name = f"{runtime}, {core}, threads {count}"
            run = run_with_progress(command, path, inputs, name, limit, count)
            comparison = compare(host, run, settings.max_codes, settings.tolerance, answers)
            results.append(Result(path, runtime, core, count, emulators[runtime], run, comparison))
        print(f"\n{path}, {format_results(inputs, host, results, answers)}\n")
        if settings.operators:
            results = _find_partings(path, graph, inputs, host, results, commands, settings)
    print(f"{format_versions(host, cpu_name(), results)}\n")
    failed = [
        f"{path.name}, {result.name}: {result.comparison.verdict}"
        for result in results
        if not result.comparison.passed
    ]
    return to_dict(inputs, host, cpu_name(), results), failed


def _find_partings(path, graph, inputs, host, results, commands, settings):
    """The results, those that are not equal with their partings, which it prints."""
    # One image of each family: all their tensors are held in memory.
    few = dataclasses.replace(inputs, values=inputs.values[: len(FAMILIES)])
    host_tensors, found, limit = None, [], settings.timeout_seconds
    with tempfile.TemporaryDirectory(prefix="care_keras_arm64-") as folder:
        exposed = pathlib.Path(folder) / f"all tensors of {path.name}"
        for result in results:
            if result.comparison.equal < result.comparison.values:
                if host_tensors is None:
                    exposed.write_bytes(expose_tensors(path.read_bytes()))
                    host_tensors = run_with_progress(host_command(), exposed, few, "host", limit)
                    if not same_outputs(graph, host, host_tensors):
                        print("warning: as all tensors are read, other kernels run on the host")
                command = commands[result.runtime, result.core]
                run = run_with_progress(command, exposed, few, result.name, limit, result.threads)
                result = dataclasses.replace(result, partings=partings(graph, host_tensors, run))
                print(f"\n{format_partings(result, len(few.values))}\n")
            found.append(result)
    return found
