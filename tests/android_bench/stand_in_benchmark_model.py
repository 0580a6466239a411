"""A stand-in for TensorFlow Lite's benchmark_model: runs the model with LiteRT on this machine.

It takes the tool's flags and prints in the tool's format, so that what reads it
can be tested without a phone. Its times are this machine's and mean nothing.
A phone's file paths are looked up below the folder in `STAND_IN_ROOT`.
It has no GPU, NNAPI or profiler, and says so as a build of the tool without them does.
LiteRT's own program is played by `stand_in_litert`, on what is here.
"""

import os
import pathlib
import struct
import sys
import time

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, os.fspath(ROOT))

from tests.tflite.litert_program import count_line  # noqa: E402

MARKS = {"tensorflow": b"stand-in for benchmark_model", "litert": b"stand-in for LiteRT's own"}
HELP = ROOT / "tests/tflite/benchmark_model_logs/run_09_help.log"
MACHINES = {"arm64-v8a": 183, "armeabi-v7a": 40, "x86_64": 62, "x86": 3}

_KNOWN = {
    *("num_runs", "min_secs", "max_secs", "warmup_runs", "warmup_min_secs", "num_threads"),
    *("graph", "input_layer", "input_layer_shape", "input_layer_value_files"),
    *("output_filepath", "report_peak_memory_footprint", "print_preinvoke_state", "use_xnnpack"),
}


def elf_bytes(abi: str, family: str = "tensorflow") -> bytes:
    """What is pushed in its place: the header of a program for an ABI, and a mark."""
    wide = abi in ("arm64-v8a", "x86_64")
    identity = b"\x7fELF" + bytes([2 if wide else 1, 1, 1, 0]) + bytes(8)
    return identity + struct.pack("<HHI", 3, MACHINES[abi], 1) + bytes(40) + MARKS[family]


def main() -> int:
    if sys.argv[1:] == ["--help"]:
        stdout, stderr = HELP.read_text().split("\n", 1)[1].split("----- stderr -----\n")
        print(stdout, end="")
        print(stderr.rpartition("----- exit")[0], file=sys.stderr)
        return 1
    flags = begin(_KNOWN)
    print(f"INFO: Graph: [{flags['graph']}]")
    print("INFO: Signature to run: []")
    explicit = flags.get("use_xnnpack")
    if explicit == "true":
        print("INFO: Use xnnpack: [1]")
    sys.stdout.flush()
    path = local(flags["graph"])
    if not path.is_file():
        print(f"ERROR: Could not open '{flags['graph']}'.", file=sys.stderr)
        return failed()
    return _benchmark(flags, path, explicit)


def begin(known):
    """The flags, and the lines that both programs begin with."""
    flags = dict(argument.removeprefix("--").partition("=")[::2] for argument in sys.argv[1:])
    print("INFO: STARTING!")
    unknown = [f"--{name}={value}" for name, value in flags.items() if name not in known]
    if unknown:
        print(f"WARN: Unconsumed cmdline flags: {' '.join(unknown)}")
    print("INFO: Log parameter values verbosely: [0]")
    if "num_threads" in flags:
        print(f"INFO: Num threads: [{flags['num_threads']}]")
    return flags


def _benchmark(flags, path, explicit):
    from ai_edge_litert.interpreter import OpResolverType

    resolver = OpResolverType.AUTO
    if explicit == "false":
        resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    memory = memory_mib("VmRSS")
    started = time.perf_counter_ns()
    interpreter = open_model(path, flags, resolver)
    if interpreter is None:
        return failed()
    init_us = (time.perf_counter_ns() - started) // 1000
    print(f"INFO: Loaded model {flags['graph']}")
    if explicit == "true":
        _tell_coverage(interpreter)
    print(f"INFO: The input model file size (MB): {path.stat().st_size / 1e6:g}")
    print(f"INFO: Initialized session in {init_us / 1e3:g}ms.")
    init_mib = memory_mib("VmRSS") - memory
    feed(interpreter, flags)
    try:
        warmup = runs(interpreter, flags, "warmup_runs", "warmup_min_secs", 1, 0.5)
        regular = runs(interpreter, flags, "num_runs", "min_secs", 50, 1.0)
    except (ValueError, RuntimeError) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return failed()
    print(
        f"INFO: Inference timings in us: Init: {init_us}, First inference: {warmup[0]}, "
        f"Warmup (avg): {mean(warmup):g}, Inference (avg): {mean(regular):g}"
    )
    print(
        "INFO: Note: as the benchmark tool itself affects memory footprint, the following is "
        "only APPROXIMATE to the actual memory footprint of the model at runtime. Take the "
        "information at your discretion."
    )
    overall = max(0.0, memory_mib("VmRSS") - memory)
    print(
        "INFO: Memory footprint delta from the start of the tool (MB): "
        f"init={max(0.0, init_mib):g} overall={overall:g}"
    )
    if flags.get("report_peak_memory_footprint") == "true":
        print(
            "INFO: Overall peak memory footprint (MB) via periodic monitoring: "
            f"{memory_mib('VmHWM'):g}"
        )
    if "output_filepath" in flags:
        outputs = [interpreter.get_tensor(one["index"]) for one in interpreter.get_output_details()]
        local(flags["output_filepath"]).write_bytes(b"".join(one.tobytes() for one in outputs))
    return 0


def open_model(path, flags, resolver):
    """The model, or `None` if it said why not."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(
            str(path),
            num_threads=max(1, int(flags.get("num_threads", 1))),
            experimental_op_resolver_type=resolver,
        )
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return None
    return interpreter


def _tell_coverage(interpreter):
    os.environ["CARE_KERAS_COMMAND"] = "1"  # Without Keras.
    from tflite.benchmark.worker import delegated_ops

    counts = delegated_ops(interpreter)
    print("INFO: XNNPACK delegate created.")
    if not counts["partitions"]:
        print(
            "INFO: Though XNNPACK delegate is explicitly applied, the model graph will not be "
            "executed by the delegate."
        )
    elif counts["delegated_ops"] == counts["ops"]:
        print(
            "INFO: Explicitly applied XNNPACK delegate, and the model graph will be completely "
            "executed by the delegate."
        )
    else:
        print(
            "INFO: Explicitly applied XNNPACK delegate, and the model graph will be partially "
            f"executed by the delegate w/ {counts['partitions']} delegate kernels."
        )


def feed(interpreter, flags):
    import numpy as np

    files = dict(
        item.split(":", 1) for item in flags.get("input_layer_value_files", "").split(",") if item
    )
    names = [name for name in flags.get("input_layer", "").split(",") if name]
    generator = np.random.default_rng()
    for number, tensor in enumerate(interpreter.get_input_details()):
        if names:
            data = local(files[names[number]]).read_bytes()
            values = np.frombuffer(data, tensor["dtype"]).reshape(tensor["shape"])
        elif np.issubdtype(tensor["dtype"], np.floating):
            values = generator.uniform(-0.5, 0.5, tensor["shape"]).astype(tensor["dtype"])
        else:
            values = generator.integers(0, 127, tensor["shape"]).astype(tensor["dtype"])
        interpreter.set_tensor(tensor["index"], values)


def runs(interpreter, flags, count_flag, seconds_flag, default_count, default_seconds):
    count = int(flags.get(count_flag, default_count))
    seconds = float(flags.get(seconds_flag, default_seconds))
    print(
        f"INFO: Running benchmark for at least {count} iterations and at least {seconds:g} "
        "seconds but terminate if exceeding 150 seconds.",
        flush=True,
    )
    samples = []
    end = time.monotonic() + seconds
    while len(samples) < count or time.monotonic() < end:
        started = time.perf_counter_ns()
        interpreter.invoke()
        samples.append((time.perf_counter_ns() - started) // 1000)
    print(f"INFO: {count_line(samples)}\n", flush=True)
    return samples


def mean(samples):
    return sum(samples) / len(samples)


def memory_mib(field):
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def local(path):
    return pathlib.Path(os.environ["STAND_IN_ROOT"], path.lstrip("/"))


def failed():
    print("ERROR: Benchmarking failed.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
