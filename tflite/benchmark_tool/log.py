"""What TFLite's benchmark_model prints, old releases and new, as a record.

The formats were taken from real logs and from the tool's sources
(`tflite/tools/benchmark` in LiteRT, before that `tensorflow/lite/tools/benchmark`).
Lines that are not known are passed over. What a result cannot be without has to
be there and agree with itself, so that a log cut short is an error, not a figure.
"""

import dataclasses
import re

from tflite.benchmark_tool.delegates import DelegateUse, parse_delegation
from tflite.benchmark_tool.messages import (
    ERRORS,
    FAILED,
    WARNINGS,
    damaged,
    failure_reason,
    message_lines,
    messages,
)
from tflite.benchmark_tool.profile import OpProfile, parse_profile
from tflite.benchmark_tool.runs import RunStatistics, read_runs

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|nan|inf)"
_TIMINGS = re.compile(r"nference timings in us: (.*)")
_TIMING = re.compile(rf"([A-Za-z][A-Za-z ()]*): ({_NUMBER})")
_MEMORY = re.compile(rf"\(MB\): init=({_NUMBER}) overall=({_NUMBER})")
_MEMORY_NOTE = "the following is only APPROXIMATE to the actual memory footprint"
_PEAK = re.compile(rf"Overall peak memory footprint \(MB\) via periodic monitoring: ({_NUMBER})")
_GRAPH = re.compile(r"Graph: \[(.*)\]")
_SIZE = re.compile(rf"The input model file size \(MB\): ({_NUMBER})")
_THREADS = re.compile(r"(?:Num threads|#threads used for CPU inference): \[(-?\d+)\]")


@dataclasses.dataclass(frozen=True)
class BenchmarkLog:
    """One run of benchmark_model. `None` is what the output does not say.

    Attributes:
        model: The file, as it was named to the tool.
        model_size_mb: Its size in units of 1,000,000 bytes.
        threads: Threads asked for; -1 leaves it to the runtime.
        init_us: Time to load the model, apply delegates and allocate tensors.
        first_inference_us: Time of the first warm-up run.
        warmup: The warm-up runs.
        regular: The runs that count; `count` is 0 in a dry run.
        memory_init_mib: Growth of the largest resident set while loading, in 2**20 bytes.
        memory_overall_mib: The same over the whole run.
        peak_memory_mib: Largest resident set of the process, if it was asked to watch it.
        delegates: Which delegates there were and how much of the graph they run.
        unapplied_delegates: Delegates that were asked for and run nothing.
        unconsumed_flags: Flags that the tool does not know and passed over.
        warnings: Messages of that level.
        errors: Messages of that level that did not end the run.
        profile: Per-op profiles; a profiled run's latency is inflated.
    """

    model: str | None
    model_size_mb: float | None
    threads: int | None
    init_us: float
    first_inference_us: float | None
    warmup: RunStatistics | None
    regular: RunStatistics
    memory_init_mib: float | None
    memory_overall_mib: float | None
    peak_memory_mib: float | None
    delegates: tuple[DelegateUse, ...]
    unapplied_delegates: tuple[str, ...]
    unconsumed_flags: tuple[str, ...]
    warnings: tuple[str, ...]
    errors: tuple[str, ...]
    profile: tuple[OpProfile, ...]


def parse_log(text: str, exit_code: int = 0) -> BenchmarkLog:
    """Reads the output of one run.

    Args:
        text: stdout and stderr, in any order, or what logcat holds of the run.
        exit_code: The process's; a failed run has no result.

    Raises:
        ValueError: If the run failed, or the output is cut, contradicts itself
            or is none of benchmark_model's. The message quotes the output.
    """
    lines = message_lines(text)
    if exit_code != 0 or any(FAILED in line for line in lines):
        code = f" with exit code {exit_code}" if exit_code else ""
        raise ValueError(f"benchmark_model failed{code}. Received: {failure_reason(text)!r}")
    timings = _timings(lines, text)
    warmup, regular = _statistics(lines, timings, text)
    memory = _search(_MEMORY, lines)
    if memory is None and any(_MEMORY_NOTE in line for line in lines):
        raise damaged("ends before its memory figures", text)
    peak, size, threads, graph = (
        _search(pattern, lines) for pattern in (_PEAK, _SIZE, _THREADS, _GRAPH)
    )
    delegation = parse_delegation(lines)
    first_us = timings.get("first inference", warmup.first_us if warmup else None)
    return BenchmarkLog(
        model=graph and graph[1],
        model_size_mb=size and float(size[1]),
        threads=threads and int(threads[1]),
        init_us=timings["init"],
        first_inference_us=first_us if warmup is None or warmup.count else None,
        warmup=warmup,
        regular=regular,
        memory_init_mib=memory and float(memory[1]),
        memory_overall_mib=memory and float(memory[2]),
        peak_memory_mib=peak and float(peak[1]),
        delegates=delegation.delegates,
        unapplied_delegates=delegation.unapplied,
        unconsumed_flags=delegation.unconsumed_flags,
        warnings=messages(text, WARNINGS),
        errors=messages(text, ERRORS),
        profile=parse_profile(text),
    )


def _timings(lines, text):
    """The line that closes a run, by its lower-case names; figures in microseconds."""
    found = list(dict.fromkeys(hit[1] for line in lines if (hit := _TIMINGS.search(line))))
    if not found:
        raise damaged("has no line 'Inference timings in us'", text)
    if len(found) > 1:
        raise damaged(f"holds {len(found)} runs; give one at a time", text)
    timings = {name.strip().lower(): float(value) for name, value in _TIMING.findall(found[0])}
    # Names of the average in releases up to 1.14, up to 2.1, and since.
    for name in ("no stats", "inference", "inference (avg)"):
        if name in timings:
            timings["average"] = timings[name]
    if "init" not in timings or "average" not in timings:
        raise damaged("has a cut line 'Inference timings in us'", text)
    return timings


def _statistics(lines, timings, text):
    """The warm-up's and the regular runs' figures."""
    statistics = read_runs(lines, text)
    if not statistics:
        raise damaged("has no 'count=' line", text)
    regular = statistics[-1]
    # One and the same number, printed twice with six digits.
    if regular.count and _six_digits(regular.avg_us) != _six_digits(timings["average"]):
        raise damaged(
            f"is cut or damaged: its regular runs took {regular.avg_us:g} us on average by one "
            f"line and {timings['average']:g} us by another",
            text,
        )
    return (statistics[0] if len(statistics) == 2 else None), regular


def _six_digits(value):
    return f"{value:.6g}"


def _search(pattern, lines):
    return next((found for line in lines if (found := pattern.search(line))), None)
