"""What closes a run of benchmark_model, in the words of either family.

TensorFlow Lite's ends with one line in microseconds (`BenchmarkLoggingListener` in
`tflite/tools/benchmark/benchmark_model.cc`), LiteRT's with a table in hundredths of a
millisecond (the class of that name in LiteRT 2.2.0's `litert/tools/benchmark_litert_model.h`,
the same since 2.0.2 but for the signature's name). Before it both print the same `count=` lines.
"""

import dataclasses
import re

from tflite.benchmark_tool.family import LITERT, TENSORFLOW, Family
from tflite.benchmark_tool.messages import NUMBER, damaged, search
from tflite.benchmark_tool.runs import RunStatistics

_TIMINGS = re.compile(r"nference timings in us: (.*)")
_TIMING = re.compile(rf"([A-Za-z][A-Za-z ()]*): ({NUMBER})")
_MEMORY = re.compile(rf"\(MB\): init=({NUMBER}) overall=({NUMBER})")
_MEMORY_NOTE = "the following is only APPROXIMATE to the actual memory footprint"
_PEAK = re.compile(rf"Overall peak memory footprint \(MB\) via periodic monitoring: ({NUMBER})")

_TABLE = re.compile(r"^=+ BENCHMARK RESULTS =+")
_HUNDREDTHS = r"(\d+\.\d\d|-?nan)"
_FIGURE = re.compile(
    rf"^(Model initialization|Warmup \(first\)|Warmup \(avg\)|Inference \((?:avg|min|max)\)): +"
    rf"{_HUNDREDTHS} ms(?: \((\d{{1,15}}) runs\))?\s*$"
)
_DEVIATION = re.compile(rf"^Inference \(std\): +{_HUNDREDTHS}\s*$")
_SIZE = re.compile(r"^(Init footprint|Overall footprint|Peak memory): +(\d+\.\d\d) MB\s*$")
_MEMORY_HEAD = "Memory Usage:"
# "Initialized session in 4.478ms." has more digits than the table.
_SESSION = re.compile(rf"^Initialized session in ({NUMBER})ms")


@dataclasses.dataclass(frozen=True)
class Closing:
    """What closes a run. `None` is what it does not say.

    Attributes:
        family: The family that printed it.
        init_us: Time to load the model, apply delegates and allocate tensors.
        first_inference_us: Time of the first warm-up run.
        average_us: Average of the regular runs, `None` if there were none.
        average_step_us: How far its last digit reaches, for a figure that is printed twice.
        runs: Number of the regular runs.
        warmup: The warm-up runs, as coarse as they are printed here.
        regular: Likewise, the regular ones.
        memory_init_mib: Growth of the largest resident set while loading, in 2**20 bytes.
        memory_overall_mib: The same over the whole run.
        peak_memory_mib: Largest resident set of the process.
    """

    family: Family
    init_us: float
    first_inference_us: float | None
    average_us: float | None
    average_step_us: float = 0.0
    runs: int | None = None
    warmup: RunStatistics | None = None
    regular: RunStatistics | None = None
    memory_init_mib: float | None = None
    memory_overall_mib: float | None = None
    peak_memory_mib: float | None = None


def family_of(text: str) -> Family:
    """The family whose program printed a log, by the lines that the other has not.

    Args:
        text: The log as it is, with the places in LiteRT's source.
    """
    own = ("BENCHMARK RESULTS ===", "benchmark_litert_model.", "Model initialization: ")
    return LITERT if any(words in text for words in own) else TENSORFLOW


def read_closing(lines: list[str], text: str) -> Closing:
    """Reads it from the messages of a log.

    Args:
        lines: The messages, without their prefixes.
        text: The whole log, which errors quote.

    Raises:
        ValueError: If there is none, it is cut, or it is there more than once.
    """
    family = family_of(text)
    return _read_table(lines, text) if family is LITERT else _read_line(lines, text)


def _read_line(lines, text):
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
    memory, peak = search(_MEMORY, lines), search(_PEAK, lines)
    if memory is None and any(_MEMORY_NOTE in line for line in lines):
        raise damaged("ends before its memory figures", text)
    return Closing(
        family=TENSORFLOW,
        init_us=timings["init"],
        first_inference_us=timings.get("first inference"),
        average_us=timings["average"],
        memory_init_mib=memory and float(memory[1]),
        memory_overall_mib=memory and float(memory[2]),
        peak_memory_mib=peak and float(peak[1]),
    )


def _read_table(lines, text):
    tables = sum(bool(_TABLE.search(line)) for line in lines)
    if tables > 1 or (tables and any(_TIMINGS.search(line) for line in lines)):
        raise damaged("holds several runs; give one at a time", text)
    figures, counts = {}, {}
    for line in lines:
        if found := _FIGURE.search(line):
            figures[found[1]] = 1e3 * float(found[2])
            counts[found[1]] = found[3] and int(found[3])
    runs = counts.get("Inference (avg)")
    if "Model initialization" not in figures or runs is None:
        raise damaged("ends before its BENCHMARK RESULTS, or within them", text)
    sizes = {hit[1]: float(hit[2]) for line in lines if (hit := _SIZE.search(line))}
    if any(_MEMORY_HEAD in line for line in lines) and "Overall footprint" not in sizes:
        raise damaged("ends before its memory figures", text)
    deviation, session = search(_DEVIATION, lines), search(_SESSION, lines)
    exact = session and 1e3 * float(session[1])
    if exact and abs(exact - figures["Model initialization"]) > _step(exact):
        raise damaged("gives two times of initialization", text)
    return Closing(
        family=LITERT,
        init_us=exact or figures["Model initialization"],
        first_inference_us=figures.get("Warmup (first)"),
        average_us=figures["Inference (avg)"] if runs else None,
        average_step_us=_step(figures["Inference (avg)"]),
        runs=runs,
        warmup=_coarse(
            counts.get("Warmup (avg)"),
            first_us=figures.get("Warmup (first)"),
            avg_us=figures.get("Warmup (avg)"),
        ),
        regular=_coarse(
            runs,
            min_us=figures.get("Inference (min)"),
            max_us=figures.get("Inference (max)"),
            avg_us=figures["Inference (avg)"],
            std_us=deviation and 1e3 * float(deviation[1]),
        ),
        memory_init_mib=sizes.get("Init footprint"),
        memory_overall_mib=sizes.get("Overall footprint"),
        peak_memory_mib=sizes.get("Peak memory"),
    )


def _coarse(count, **fields):
    if count is None:
        return None
    return RunStatistics(count, **fields) if count else RunStatistics(count=0)


def _step(value):
    """Half a hundredth of a millisecond, and what six digits leave out."""
    return 5.0 + 1e-5 * abs(value) + 0.001
