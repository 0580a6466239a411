"""A .tflite file under the phones' instruction set: `python -m tflite.arm64 --model=M.tflite`.

Runs the ARM64 build of LiteRT in qemu's user-mode emulation of several core
types, with one thread and with several, on photos and extreme images, and
compares with what this machine's LiteRT gives with one: equal, within a few
codes, or wrong (exit code 1). `--setup` fetches the emulator, an ARM64 Python
and the runtime into a cache folder.
"""

import contextlib
import dataclasses
import itertools
import json
import pathlib
import tempfile

from absl import flags

from care_keras.console import cli
from care_keras.console.flag_values import parse_counts
from care_keras.console.progress import progress
from care_keras.files import write_atomically
from care_keras.tflite_file import read_graph
from tflite.arm64 import pins
from tflite.arm64.cache import Cache, default_folder
from tflite.arm64.compare import compare
from tflite.arm64.emulator import DEFAULT_CORES, find_emulator, host_command
from tflite.arm64.operators import expose_tensors, partings, same_outputs
from tflite.arm64.report import (
    Result,
    format_partings,
    format_results,
    format_versions,
    to_dict,
)
from tflite.arm64.run import run_images
from tflite.arm64.setup import set_up
from tflite.benchmark.machine import cpu_name
from tflite.inputs.flags import input_overrides
from tflite.inputs.odd_inputs import FAMILIES
from tflite.inputs.real_and_extreme import make_inputs

_MODEL = flags.DEFINE_multi_string("model", None, "A .tflite file; give several.")
_SETUP = flags.DEFINE_bool(
    "setup", False, "Download what is missing (on Debian or Ubuntu; needs no root), then go on."
)
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", None, "Where that is (default: care_keras/arm64 in the user's cache folder)."
)
_RUNTIME = flags.DEFINE_multi_enum(
    "runtime",
    [pins.DEFAULT_RUNTIME],
    list(pins.RUNTIMES),
    "Version of the ARM64 runtime; give several.",
)
_CORE = flags.DEFINE_multi_string(
    "core", list(DEFAULT_CORES), "A core type as qemu names it (qemu-aarch64 -cpu help); several."
)
_THREADS = flags.DEFINE_list("threads", ["1", "2", "4"], "Threads of the kernels, as 1,2,4.")
_INPUTS = flags.DEFINE_integer(
    "inputs", 24, "Images: constant, single pixel, noise, photo in turn.", lower_bound=len(FAMILIES)
)
_DATA = flags.DEFINE_string("data", "bundled", "Photos: DIR, tfds:NAME[:SPLIT] or bundled.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the images.", lower_bound=0)
_MAX_CODES = flags.DEFINE_integer(
    "max_codes", 0, "Integer outputs may differ by so many codes.", lower_bound=0
)
_TOLERANCE = flags.DEFINE_float(
    "tolerance", 1e-4, "Float outputs may differ by so much of their largest.", lower_bound=0.0
)
_TIMEOUT = flags.DEFINE_float("timeout", 300, "Seconds for one inference.", lower_bound=0.01)
_OPERATORS = flags.DEFINE_bool(
    "operators", False, "Where outputs are not equal: at which operators they part, on 4 images."
)
_OUTPUT_JSON = flags.DEFINE_string("output_json", None, "A file to write the results to.")


def main() -> None:
    """The command."""
    if not _MODEL.value and not _SETUP.value:
        raise cli.UserError("nothing to do: give --model=FILE.tflite, or --setup")
    threads = parse_counts("threads", _THREADS.value)
    folder = pathlib.Path(_CACHE_DIR.value) if _CACHE_DIR.value else default_folder()
    try:
        cache = Cache(folder)
        if _SETUP.value:
            for runtime in _RUNTIME.value:
                set_up(cache, runtime, print)
            print(f"set up in {cache.folder}: runtime {', '.join(_RUNTIME.value)}")
        if _MODEL.value:
            emulators = {name: find_emulator(cache, name) for name in dict.fromkeys(_RUNTIME.value)}
            overrides = input_overrides()
    except ValueError as error:
        raise cli.UserError(str(error)) from error
    records, wrong = [], []
    for name in dict.fromkeys(_MODEL.value or []):
        try:
            record, failed = _check(pathlib.Path(name), emulators, overrides, threads)
        except ValueError as error:
            raise cli.UserError(str(error)) from error
        records.append(record)
        wrong += failed
    if _OUTPUT_JSON.value and records:
        try:
            write_atomically(_OUTPUT_JSON.value, json.dumps(records, indent=1) + "\n")
        except OSError as error:
            reason = error.strerror or error
            raise cli.UserError(f"cannot write {_OUTPUT_JSON.value}: {reason}") from error
        print(f"wrote {_OUTPUT_JSON.value}")
    if wrong:
        raise cli.CheckError(
            f"ARM64 does not give what the host gives, or fails: {'; '.join(wrong)}"
        )


def _check(path, emulators, overrides, threads):
    """Runs one file everywhere and prints the table: its record, and where it did not hold."""
    inputs = make_inputs(path, _DATA.value, _INPUTS.value, _SEED.value, overrides)
    results = []
    with contextlib.ExitStack() as stack:
        # All of them before the first is used: a core that qemu lacks is found out at once.
        commands = {
            (runtime, core): stack.enter_context(emulator.as_core(core))
            for runtime, emulator in emulators.items()
            for core in dict.fromkeys(_CORE.value)
        }
        host = _run(host_command(), path, inputs, "host")
        if host.error:
            raise ValueError(f"LiteRT cannot open the model. Received: {path} ({host.error})")
        for ((runtime, core), command), count in itertools.product(commands.items(), threads):
            run = _run(command, path, inputs, f"{runtime}, {core}, threads {count}", count)
            comparison = compare(host, run, _MAX_CODES.value, _TOLERANCE.value)
            results.append(Result(path, runtime, core, count, emulators[runtime], run, comparison))
        print(f"\n{path}, {format_results(inputs, host, results)}\n")
        if _OPERATORS.value:
            results = _find_partings(path, inputs, host, results, commands)
    print(f"{format_versions(host, cpu_name(), results)}\n")
    failed = [
        f"{path.name}, {result.name}: {result.comparison.verdict}"
        for result in results
        if not result.comparison.passed
    ]
    return to_dict(inputs, host, cpu_name(), results), failed


def _find_partings(path, inputs, host, results, commands):
    """The results, those that are not equal with their partings, which it prints."""
    # One image of each family: all their tensors are held in memory.
    few = dataclasses.replace(inputs, values=inputs.values[: len(FAMILIES)])
    host_tensors, found = None, []
    with tempfile.TemporaryDirectory(prefix="care_keras_arm64-") as folder:
        exposed = pathlib.Path(folder) / f"all tensors of {path.name}"
        for result in results:
            if result.comparison.equal < result.comparison.values:
                if host_tensors is None:
                    graph = read_graph(path)
                    exposed.write_bytes(expose_tensors(path.read_bytes()))
                    host_tensors = _run(host_command(), exposed, few, "host")
                    if not same_outputs(graph, host, host_tensors):
                        print("warning: as all tensors are read, other kernels run on the host")
                command = commands[result.runtime, result.core]
                run = _run(command, exposed, few, result.name, result.threads)
                result = dataclasses.replace(result, partings=partings(graph, host_tensors, run))
                print(f"\n{format_partings(result, len(few.values))}\n")
            found.append(result)
    return found


def _run(command, path, inputs, name, threads=1):
    bar = iter(progress(range(len(inputs.values)), f"running {path.name}, {name}, image"))
    run = run_images(
        command, path, inputs.values, inputs.shape, _TIMEOUT.value, lambda: next(bar, None), threads
    )
    next(bar, None)
    return run


if __name__ == "__main__":
    cli.run(main)
