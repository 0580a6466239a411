"""What benchmark_model prints, and what LiteRT's GPU accelerator does."""

import pathlib

from android_bench.run.delegation import delegation_of
from android_bench.run.single_runs import times_of
from tests.fuzz.formats import Format
from tests.fuzz.mutate import text
from tflite.audit.gpu.log import parse_gpu_log
from tflite.benchmark_tool.family import identify
from tflite.benchmark_tool.log import parse_log
from tflite.benchmark_tool.profile import parse_profile

_LOGS = pathlib.Path(__file__).parents[2] / "tflite" / "benchmark_model_logs"
_LOGCAT = b"05-30 15:16:44.857  3380  3380 I tflite  : "
_GPU = b"""INFO: [gpu.cc:12] Selected adapter: SwiftShader Device (Subzero), arch=, vendor=google, \
backend=Vulkan, adapterType=CPU / Software
WARNING: [auto.cc:3] something. else.
Following operations are not supported by GPU delegate:
CUMSUM: Operation is not supported.
3 operations will run on the GPU, and the remaining 1 operations will run on the CPU.
"""


def _corpus():
    files = {path.name: path.read_bytes() for path in sorted(_LOGS.glob("run_*"))}
    files |= {path.name: path.read_bytes() for path in sorted(_LOGS.glob("*.csv"))}
    # Long lists of flags and of operators take time and nothing else.
    files = {name: content[:20_000] for name, content in files.items()}
    first = files["run_04_peakmem_small_conv_f32.log"]
    files["logcat"] = b"\n".join(_LOGCAT + line for line in first.split(b"\n"))
    files["gpu"] = _GPU
    return files


def _read(path):
    """Of a text that some of the readers refuse the first one's error is shown."""
    content = path.read_text(errors="replace")
    problems = []
    for read in (_run, parse_profile, identify, parse_gpu_log):
        try:
            read(content)
        except ValueError as error:
            problems.append(error)
    odd = [one for one in problems if type(one) is not ValueError or "Received: " not in str(one)]
    if problems:
        raise (odd or problems)[0]


def _run(content):
    log = parse_log(content)
    for delegate in ("xnnpack", "cpu", "gpu", "npu", "external"):
        delegation_of(delegate, log).describe()
    if log.regular.count:
        times_of(log.regular)


FORMATS = {"logs": Format(".log", _corpus, text.mutate, _read)}
