"""What benchmark_model prints, of either family and of any release, as a record.

The formats were taken from real logs and from the sources of the two programs: TensorFlow
Lite's (`tflite/tools/benchmark` in LiteRT, before that `tensorflow/lite/tools/benchmark`) and
LiteRT's own (`litert/tools/benchmark_litert_model.*`, releases 2.0.2 to 2.2.0).
Lines that are not known are passed over. What a result cannot be without has to
be there and agree with itself, so that a log cut short is an error, not a figure.
"""

import dataclasses
import re

from tflite.benchmark_tool.closing import read_closing
from tflite.benchmark_tool.delegates import DelegateUse, parse_delegation
from tflite.benchmark_tool.family import LITERT
from tflite.benchmark_tool.messages import (
    ERRORS,
    FAILED,
    NUMBER,
    WARNINGS,
    damaged,
    failure_reason,
    message_lines,
    messages,
    search,
)
from tflite.benchmark_tool.profile import OpProfile, parse_profile
from tflite.benchmark_tool.runs import RunStatistics, read_runs

# LiteRT's program names the file in other words.
_GRAPH = re.compile(r"Graph: \[(.*)\]|^Loading model from: (.*)")
_SIZE = re.compile(rf"The input model file size \(MB\): ({NUMBER})")
_THREADS = re.compile(r"(?:Num threads|#threads used for CPU inference): \[(-?\d{1,15})\]")


@dataclasses.dataclass(frozen=True)
class BenchmarkLog:
    """One run of benchmark_model. `None` is what the output does not say.

    Attributes:
        family: `"tensorflow"` or `"litert"`, whose program it is (`family.Family.key`).
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

    family: str
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
    closing = read_closing(lines, text)
    warmup, regular = _statistics(lines, closing, text)
    size, threads, graph = (search(pattern, lines) for pattern in (_SIZE, _THREADS, _GRAPH))
    delegation = parse_delegation(lines)
    first_us = closing.first_inference_us
    if warmup is not None and (first_us is None or closing.family is LITERT):
        first_us = warmup.first_us
    return BenchmarkLog(
        family=closing.family.key,
        model=graph and ((graph[1] or graph[2] or "").strip() or None),
        model_size_mb=size and float(size[1]),
        threads=threads and int(threads[1]),
        init_us=closing.init_us,
        first_inference_us=first_us if warmup is None or warmup.count else None,
        warmup=warmup,
        regular=regular,
        memory_init_mib=closing.memory_init_mib,
        memory_overall_mib=closing.memory_overall_mib,
        peak_memory_mib=closing.peak_memory_mib,
        delegates=delegation.delegates,
        unapplied_delegates=delegation.unapplied,
        unconsumed_flags=delegation.unconsumed_flags,
        warnings=messages(text, WARNINGS),
        errors=messages(text, ERRORS),
        profile=parse_profile(text),
    )


def _statistics(lines, closing, text):
    """The warm-up's and the regular runs' figures."""
    statistics = read_runs(lines, text)
    if not statistics:
        return _coarse_statistics(closing, text)
    regular = statistics[-1]
    if closing.runs not in (None, regular.count):
        raise damaged(
            f"is cut or damaged: it counts {regular.count} regular runs by one line and "
            f"{closing.runs} by another",
            text,
        )
    # One and the same number, printed twice.
    if regular.count and not _same(regular.avg_us, closing.average_us, closing.average_step_us):
        raise damaged(
            f"is cut or damaged: its regular runs took {regular.avg_us:g} us on average by one "
            f"line and {closing.average_us:g} us by another",
            text,
        )
    return (statistics[0] if len(statistics) == 2 else None), regular


def _coarse_statistics(closing, text):
    """Of LiteRT's table alone, as logcat filtered by its tag gives it."""
    regular = closing.regular
    if regular is None:
        raise damaged("has no 'count=' line", text)
    if regular.count and not (regular.avg_us and regular.min_us and regular.max_us):
        raise damaged("has no 'count=' line, and its table is cut or too coarse", text)
    return closing.warmup, regular


def _same(one, other, step):
    return abs(one - other) <= step if step else _six_digits(one) == _six_digits(other)


def _six_digits(value):
    return f"{value:.6g}"
