"""What TFLite's benchmark_model prints, old releases and new, as a record.

The formats were taken from real logs and from the tool's sources
(`tflite/tools/benchmark` in LiteRT, before that `tensorflow/lite/tools/benchmark`).
Lines that are not known are passed over. What a result cannot be without has to
be there and agree with itself, so that a log cut short is an error, not a figure.
"""

import dataclasses
import math
import re

from tflite.benchmark_tool.delegates import DelegateUse, parse_delegation
from tflite.benchmark_tool.profile import OpProfile, message_lines, parse_profile

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|nan|inf)"
_STATISTICS = re.compile(r"(?<![\w=])count=\d+.*")
_FIELD = re.compile(rf"(\w+)=({_NUMBER})")
_TIMINGS = re.compile(r"nference timings in us: (.*)")
_TIMING = re.compile(rf"([A-Za-z][A-Za-z ()]*): ({_NUMBER})")
_MEMORY = re.compile(rf"\(MB\): init=({_NUMBER}) overall=({_NUMBER})")
_MEMORY_NOTE = "the following is only APPROXIMATE to the actual memory footprint"
_PEAK = re.compile(rf"Overall peak memory footprint \(MB\) via periodic monitoring: ({_NUMBER})")
_GRAPH = re.compile(r"Graph: \[(.*)\]")
_SIZE = re.compile(rf"The input model file size \(MB\): ({_NUMBER})")
_THREADS = re.compile(r"(?:Num threads|#threads used for CPU inference): \[(-?\d+)\]")
_LEVEL = re.compile(r"\b(WARN|WARNING|ERROR|FATAL): ?|[ \]]([WEF])[/ ](?:tflite|native)\b")
_WARNING_LEVELS, _ERROR_LEVELS = ("WARN", "WARNING", "W"), ("ERROR", "FATAL", "E", "F")
_FAILED = "Benchmarking failed"
_QUOTED = 300


@dataclasses.dataclass(frozen=True)
class RunStatistics:
    """A `count=` line. What the release does not print, or no run gave, is `None`."""

    count: int
    first_us: float | None = None
    last_us: float | None = None
    min_us: float | None = None
    max_us: float | None = None
    avg_us: float | None = None
    std_us: float | None = None
    p5_us: float | None = None
    median_us: float | None = None
    p95_us: float | None = None


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
    if exit_code != 0 or any(_FAILED in line for line in lines):
        code = f" with exit code {exit_code}" if exit_code else ""
        raise ValueError(f"benchmark_model failed{code}. Received: {failure_reason(text)!r}")
    timings = _timings(lines, text)
    warmup, regular = _statistics(lines, timings, text)
    memory = _search(_MEMORY, lines)
    if memory is None and any(_MEMORY_NOTE in line for line in lines):
        raise _damaged("ends before its memory figures", text)
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
        warnings=_messages(text, _WARNING_LEVELS),
        errors=_messages(text, _ERROR_LEVELS),
        profile=parse_profile(text),
    )


def failure_reason(text: str) -> str:
    """Why a run failed, in one line: its error messages, or else its last line."""
    errors = [line for line in _messages(text, _ERROR_LEVELS) if _FAILED not in line]
    # The list of all flags may follow what is wrong with one of them.
    telling = [line for line in errors if not line.startswith("usage:")]
    return " ".join(telling or errors)[:_QUOTED] or _tail(text)


def _timings(lines, text):
    """The line that closes a run, by its lower-case names; figures in microseconds."""
    found = list(dict.fromkeys(hit[1] for line in lines if (hit := _TIMINGS.search(line))))
    if not found:
        raise _damaged("has no line 'Inference timings in us'", text)
    if len(found) > 1:
        raise _damaged(f"holds {len(found)} runs; give one at a time", text)
    timings = {name.strip().lower(): float(value) for name, value in _TIMING.findall(found[0])}
    # Names of the average in releases up to 1.14, up to 2.1, and since.
    for name in ("no stats", "inference", "inference (avg)"):
        if name in timings:
            timings["average"] = timings[name]
    if "init" not in timings or "average" not in timings:
        raise _damaged("has a cut line 'Inference timings in us'", text)
    return timings


def _statistics(lines, timings, text):
    """The warm-up's and the regular runs' figures."""
    found = [
        hit[0]
        for line in lines
        if (hit := _STATISTICS.search(line))
        # A profile's summary has such figures, too.
        and "(microseconds):" not in line
        and "(bytes):" not in line
    ]
    if not found:
        raise _damaged("has no 'count=' line", text)
    if len(found) > 2:
        raise _damaged(f"has {len(found)} 'count=' lines, of more than one run", text)
    statistics = [_run_statistics(line, text) for line in found]
    regular = statistics[-1]
    # One and the same number, printed twice with six digits.
    if regular.count and _six_digits(regular.avg_us) != _six_digits(timings["average"]):
        raise _damaged(
            f"is cut or damaged: its regular runs took {regular.avg_us:g} us on average by one "
            f"line and {timings['average']:g} us by another",
            text,
        )
    return (statistics[0] if len(statistics) == 2 else None), regular


def _run_statistics(line, text):
    values = {name: float(value) for name, value in _FIELD.findall(line)}
    count = int(values["count"])
    if count == 0:
        # A dry run prints percentiles of 0.
        return RunStatistics(count=0)
    if "avg" not in values and (count == 1 or "(all same)" in line) and "curr" in values:
        values = {"std": 0.0} | values
        for name in ("first", "min", "max", "avg"):
            values[name] = values["curr"]
    low, average, high = (values.get(name, math.nan) for name in ("min", "avg", "max"))
    ordered = [low, *(values[name] for name in ("p5", "median", "p95") if name in values), high]
    # An average of six digits may lie outside by its rounding.
    inside = low * (1 - 1e-5) <= average <= high * (1 + 1e-5)
    if not inside or ordered != sorted(ordered):
        raise _damaged(f"has a cut or damaged line {line!r}", text)
    return RunStatistics(
        count=count,
        **{
            f"{field}_us": values.get(name)
            for name, field in (
                ("first", "first"),
                ("curr", "last"),
                ("min", "min"),
                ("max", "max"),
                ("avg", "avg"),
                ("std", "std"),
                ("p5", "p5"),
                ("median", "median"),
                ("p95", "p95"),
            )
        },
    )


def _six_digits(value):
    return f"{value:.6g}"


def _search(pattern, lines):
    return next((found for line in lines if (found := pattern.search(line))), None)


def _messages(text, levels):
    """Messages of some levels, named by the tool or by logcat's letter."""
    raw = text.replace("\r", "").split("\n")
    return tuple(
        message.strip()
        for line, message in zip(raw, message_lines(text), strict=True)
        if (found := _LEVEL.search(line))
        and (found[1] or found[2]) in levels
        # The Android app logs its result as an error, to have it seen.
        and not _TIMINGS.search(line)
    )


def _damaged(what, text):
    return ValueError(f"The output of benchmark_model {what}. Received: {_tail(text)!r}")


def _tail(text):
    """The end of an output as one line that is fit to be shown."""
    lines = [line.strip() for line in text.replace("\r", "").split("\n") if line.strip()]
    return " | ".join(lines[-3:])[-_QUOTED:] if lines else "no output"
