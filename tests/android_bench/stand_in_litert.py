"""A stand-in for LiteRT's own benchmark_model, on what the other stand-in is made of.

Its accelerators are what the files in the folder of `--dispatch_library_path` say: a dispatch
library reaches an NPU that takes every graph; one that holds `falls back` leaves all to the CPU
without an error, as LiteRT does where a compiled graph does not load, one that holds `takes a
part` leaves one operation. It has no GPU, and says so as a build without one does.
"""

import os
import pathlib
import sys
import time

sys.path.insert(0, os.fspath(pathlib.Path(__file__).parents[2]))

from tests.android_bench.stand_in_benchmark_model import (
    begin,
    failed,
    feed,
    local,
    memory_mib,
    open_model,
    runs,
)
from tests.tflite import litert_program


def main() -> int:
    if sys.argv[1:] == ["--help"]:
        stdout, stderr = litert_program.help_outputs()
        print(stdout, end="")
        print(stderr, end="", file=sys.stderr)
        return 0
    flags = begin(litert_program.FLAGS)
    sys.stdout.flush()
    npu = flags.get("use_npu") == "true"
    folder = flags.get("dispatch_library_path", "")
    _say(litert_program.loading(flags["graph"], folder if npu else None))
    path = local(flags["graph"])
    if not path.is_file():
        return failed()
    return _benchmark(flags, path, local(folder) if npu else None)


def _benchmark(flags, path, libraries):
    from ai_edge_litert.interpreter import OpResolverType

    memory = memory_mib("VmRSS")
    started = time.perf_counter_ns()
    interpreter = open_model(path, flags, OpResolverType.AUTO)
    if interpreter is None:
        return failed()
    init_us = (time.perf_counter_ns() - started) // 1000
    nodes = len(interpreter._get_ops_details())
    if libraries is not None:
        _accelerate(libraries, nodes, "compiler_plugin_library_path" in flags)
    else:
        if flags.get("use_gpu") == "true":
            text = "GPU accelerator could not be loaded and registered."
            _say(f"WARNING: [gpu_registry.cc:130] {text}\n")
        _say(litert_program.replacing(nodes, nodes, "TfLiteXNNPackDelegate"))
    print(f"INFO: The input model file size (MB): {path.stat().st_size / 1e6:g}")
    print(f"INFO: Initialized session in {init_us / 1e3:g}ms.")
    init_mib = memory_mib("VmRSS") - memory
    feed(interpreter, flags)
    warmup = runs(interpreter, flags, "warmup_runs", "warmup_min_secs", 1, 0.5)
    regular = runs(interpreter, flags, "num_runs", "min_secs", 50, 1.0)
    watched = flags.get("report_peak_memory_footprint") == "true"
    overall = max(0.0, memory_mib("VmRSS") - memory)
    peak = memory_mib("VmHWM") if watched else None
    _say(litert_program.table(init_us, warmup, regular, max(0.0, init_mib), overall, peak))
    if flags.get("use_profiler") == "true":
        _say(litert_program.profile())
    return 0


def _accelerate(libraries, nodes, compiles):
    """What the log says of an NPU with these libraries."""
    found = sorted(libraries.glob("libLiteRtDispatch*.so"))
    # Without both, the vendor's own libraries are not found.
    reached = all(
        os.environ.get(name) and local(os.environ[name]) == libraries
        for name in ("LD_LIBRARY_PATH", "ADSP_LIBRARY_PATH")
    )
    content = found[0].read_bytes() if found and reached else b"falls back"
    taken = nodes - 1 if b"takes a part" in content else nodes
    if compiles:
        _say(litert_program.partitioned(taken, nodes))
    if b"falls back" in content:
        _say(litert_program.replacing(nodes, nodes, "TfLiteXNNPackDelegate"))
        return
    left = nodes - taken
    _say(litert_program.replacing(1, 1 + left, "DispatchDelegate", 1 + left))
    if left:
        _say(litert_program.replacing(left, 1 + left, "TfLiteXNNPackDelegate", 2))


def _say(text):
    print(text, end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
