"""Per-op profiles of TFLite's benchmark_model: its tables on stdout and its CSV files.

The CSV is none that a CSV reader takes: several tables in one file, node types
with bare commas (`Fully Connected (NC, F32) GEMM`), and names whose commas were
turned into tabs. Rows are therefore read around their run of numbers.
"""

import dataclasses
import math
import re

from care_keras.files import printable
from tflite.benchmark_tool.messages import NUMBER, message_lines, tail

_PHASES = {
    "Profiling Info for Benchmark Initialization": "initialization",
    "Operator-wise Profiling Info for Regular Benchmark Runs": "regular",
}
_PART = re.compile(r"(Delegate internal|(?:Primary graph|Subgraph) \(.*?\)(?= profile)).*:\s*$")
# Not the head of LiteRT's results.
_TABLE = re.compile(r"={5,} (?!BENCHMARK RESULTS)(.+?) ={5,}")
_NODES = re.compile(r"Number of nodes executed: (\d{1,15})")
_END = re.compile(r"^(?:Subgraph .*\) )?\d+ nodes observed")
# Where all runs took as long, or there was but one, no average is printed.
_AVERAGE = re.compile(
    rf"Timings \(microseconds\): .*?(?:avg=({NUMBER})|curr=({NUMBER})(?:\(all same\)|\s*$))"
)


@dataclasses.dataclass(frozen=True)
class OpTime:
    """One row of a profile.

    Attributes:
        node_type: The delegate's operator (`"Add (ND)"`), or TFLite's (`"ADD"`)
            for what was not delegated.
        name: Name of the node.
        first_ms: Time in the first profiled run, or `None`.
        average_ms: Average time of one call.
        percent: Share of the run's time, or `None`.
        memory_kb: Memory it added, in units of 1000 bytes, or `None`.
        calls: Calls in one run.
    """

    node_type: str
    name: str
    first_ms: float | None
    average_ms: float
    percent: float | None
    memory_kb: float | None
    calls: int

    @property
    def delegated(self) -> bool:
        """Whether a delegate ran it and told its time."""
        return self.name.startswith("Delegate/")


@dataclasses.dataclass(frozen=True)
class OpProfile:
    """The ops of one phase, in run order.

    Attributes:
        phase: `"initialization"` or `"regular"`.
        part: `""`, or the subgraph or `"Delegate internal"` where the tool tells them apart.
        average_us: Average time of a profiled run, `None` if not printed.
        ops: One entry per row.
    """

    phase: str
    part: str
    average_us: float | None
    ops: tuple[OpTime, ...]

    def by_node_type(self) -> list[tuple[str, int, float, float]]:
        """`(node type, nodes, ms per run, share of all)`, the most expensive first."""
        totals: dict[str, tuple[int, float]] = {}
        for op in self.ops:
            nodes, time_ms = totals.get(op.node_type, (0, 0.0))
            totals[op.node_type] = (nodes + 1, time_ms + op.average_ms * op.calls)
        whole = sum(time_ms for _, time_ms in totals.values())
        rows = [
            (name, nodes, time_ms, time_ms / whole if whole else 0.0)
            for name, (nodes, time_ms) in totals.items()
        ]
        return sorted(rows, key=lambda row: -row[2])


def parse_profile(text: str) -> tuple[OpProfile, ...]:
    """Reads the profiles in a log or in a CSV file.

    Args:
        text: Output of a run with `--enable_op_profiling=true`, or the content
            of its `--op_profiling_output_file` in CSV.

    Returns:
        One entry per phase and part; empty if the text holds no profile.

    Raises:
        ValueError: If a table is cut or damaged; the message quotes where.
    """
    profiles = []
    phase, part = "regular", ""
    table: str | None = None  # the table that the lines belong to, `None` between profiles
    reader: _RowReader | None = None
    ops: list[OpTime] = []
    average_us: float | None = None
    nodes: int | None = None
    strange = ""  # a line among the rows that is no row: another output's, or a damaged row
    line = ""
    for line in message_lines(text):
        for title, name in _PHASES.items():
            if title in line:
                phase, part = name, ""
        if found := _TABLE.search(line):
            if found[1] == "Run Order":
                if table is not None:
                    raise ValueError(_cut(ops, line))
                ops, average_us, nodes, strange = [], None, None, ""
            table, reader = found[1], None
        elif table == "Run Order":
            if not line.strip():
                table = ""
            elif reader is None:
                reader = _RowReader(line)
            elif op := reader.read(line):
                ops.append(op)
            else:
                strange = line
        elif found := _NODES.search(line):
            nodes = int(found[1])
        elif found := _AVERAGE.search(line):
            average_us = float(found[1] or found[2])
        elif table is not None and _END.search(line.strip()):
            if nodes != len(ops) and (nodes is not None or strange):
                raise ValueError(
                    f"A profile says that {nodes} nodes were executed and lists {len(ops)}. "
                    f"Received: {tail(strange or line)!r}"
                )
            profiles.append(OpProfile(phase, part, average_us, tuple(ops)))
            table = None
        elif table is None and (found := _PART.search(line)):
            part = found[1]
    if table is not None:
        raise ValueError(_cut(ops, line))
    return tuple(profiles)


class _RowReader:
    """Reads rows under a header; the columns between type and name are all numbers."""

    def __init__(self, header: str):
        if "\t" in header:
            separator, cells = r"\t\s*", header.strip().split("\t")
        elif "," in header:
            separator, cells = r",\s*", header.split(",")
        else:
            # Tables pasted from a terminal have lost their tabs.
            separator, cells = r"\s+", re.findall(r"\[.*?\]", header)
        self._columns = [cell.strip().strip("[]").lower().replace("_", " ") for cell in cells]
        missing = {"node type", "avg ms", "name"} - set(self._columns)
        if missing:
            raise ValueError(
                f"The header of a profile lacks {sorted(missing)}. "
                f"Received: {printable(header.strip()[:300])!r}"
            )
        numbers = len(self._columns) - 2
        self._row = re.compile(
            rf"^\s*(?P<type>.+?)(?P<numbers>(?:{separator}{NUMBER}%?){{{numbers}}})"
            rf"{separator}(?P<name>.*)$"
        )

    def read(self, line: str) -> OpTime | None:
        found = self._row.match(line)
        if found is None:
            return None
        values = [float(value) for value in re.findall(NUMBER, found["numbers"])]
        row = {
            # Shares of a run that took no time.
            column: value if math.isfinite(value) else None
            for column, value in zip(self._columns[1:-1], values, strict=False)
        }
        if row.get("avg ms") is None or row.get("times called", 1) is None:
            return None
        return OpTime(
            node_type=found["type"].strip(),
            name=found["name"].strip().replace("\t", ","),
            first_ms=row.get("first"),
            average_ms=row["avg ms"],
            percent=row.get("%"),
            memory_kb=row.get("mem kb"),
            calls=int(row.get("times called", 1)),
        )


def _cut(ops, line):
    return (
        f"A profile is cut after {len(ops)} rows. Received: {tail(line)!r} as the last line of it"
    )
