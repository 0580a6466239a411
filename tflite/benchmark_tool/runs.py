"""Figures of a series of runs: the `count=` lines that benchmark_model prints."""

import dataclasses
import math
import re

from tflite.benchmark_tool.messages import NUMBER, damaged

_STATISTICS = re.compile(r"(?<![\w=])count=\d+.*")
_FIELD = re.compile(rf"(\w+)=({NUMBER})")


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


def read_runs(lines: list[str], text: str) -> list[RunStatistics]:
    """The warm-up's and the regular runs' figures, in that order; the latter alone, or none.

    Args:
        lines: Messages of a log, without their prefixes.
        text: The whole log, which errors quote.

    Raises:
        ValueError: If a line is cut, or there are lines of more than one run.
    """
    found = [
        hit[0]
        for line in lines
        if (hit := _STATISTICS.search(line))
        # A profile's summary has such figures, too.
        and "(microseconds):" not in line
        and "(bytes):" not in line
    ]
    if len(found) > 2:
        raise damaged(f"has {len(found)} 'count=' lines, of more than one run", text)
    if found and _STATISTICS.search(lines[-1]):
        # LiteRT's closing is on another stream, and may stand before it.
        raise damaged("ends within a 'count=' line", text)
    return [_read(line, text) for line in found]


def _read(line, text):
    values = {name: float(value) for name, value in _FIELD.findall(line)}
    count = values["count"]
    if not math.isfinite(count):
        raise damaged(f"has a cut or damaged line {line[:200]!r}", text)
    count = int(count)
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
        raise damaged(f"has a cut or damaged line {line[:200]!r}", text)
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
