"""Everything that a run says, in one structure: what tables, CSV, JSON and the page are made of."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Sequence

from android_bench.records import SCHEMA, of_kind, phone_names
from android_bench.report.statistics import CellStatistics, cell_statistics
from care_keras.console.table import format_table
from care_keras.metrics import wilson_interval

_ESTIMATES = ("p50", "p90", "p99")
REPORT_SCHEMA = "care_keras.android_bench.report/1"


@dataclasses.dataclass(frozen=True)
class Top1:
    """A share of right answers.

    Attributes:
        value: The share.
        source: Where it is from, for people.
        images: How many images it is of; `None` if that is not known.
        of_imagenet: Whether the images' name says that they are ImageNet's.
    """

    value: float
    source: str
    images: int | None = None
    of_imagenet: bool = False

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval; the value alone if the number of images is not known."""
        return wilson_interval(self.value, self.images) if self.images else (self.value,) * 2


@dataclasses.dataclass(frozen=True)
class Report:
    """A run, evaluated.

    Attributes:
        head: The run's `run` record: settings, models, versions, host.
        devices: `device` fields by serial number.
        phone_names: A short name of each phone by serial number.
        cells: Statistics of each cell.
        verifications: The last `verify` record of each phone, model, delegate and
            number of threads.
        profiles: The last `profile` record of each phone, model and delegate.
        trace: By serial number: `(Unix time, processor °C, battery °C, waiting)`.
        lost: How often a phone was lost.
    """

    head: dict
    devices: dict[str, dict]
    phone_names: dict[str, str]
    cells: list[CellStatistics]
    verifications: list[dict]
    profiles: list[dict]
    trace: dict[str, list[tuple]]
    lost: int

    def verification_of(self, cell: CellStatistics) -> dict | None:
        """The check of a cell's outputs, `None` if there was none."""
        key = (cell.serial, cell.sha256, cell.delegate, cell.threads)
        return next((one for one in self.verifications if _verified(one) == key), None)

    def top1_of(self, cell: CellStatistics) -> Top1 | None:
        """Top-1 of a cell's model; `None` if nothing says it."""
        verified = self.verification_of(cell)
        if verified and verified.get("top1") is not None:
            count, images = verified["labelled"], verified["images"]
            source = f"on the phone, {count} images ({images})"
            return Top1(verified["top1"], source, count, "imagenet" in images.lower())
        model = next((one for one in self.head["models"] if one["sha256"] == cell.sha256), None)
        if model and model["top1"] is not None:
            return Top1(model["top1"], "by the check of its conversion")
        return None

    def failures(self) -> list[str]:
        """What failed, a line each; of several phones each line says which."""
        several = len(self.devices) > 1
        phones = {serial: f"{name}: " for serial, name in self.phone_names.items() if several}
        lines = [
            f"{phones.get(cell.serial, '')}{cell.name}: {cell.failed_rounds} of "
            f"{cell.failed_rounds + cell.rounds} runs failed: {cell.failure}"
            for cell in self.cells
            if cell.failure
        ]
        lines += [
            f"{phones.get(one['serial'], '')}{_what(one)}: {one['kind']}: {one['reason']}"
            for one in self.verifications + self.profiles
            if one["status"] != "ok"
        ]
        return lines


def evaluate(records: Sequence[dict]) -> Report:
    """Evaluates the records of a run."""
    trace: dict[str, list[tuple]] = {}
    for record in of_kind(records, "cell"):
        points = trace.setdefault(record["serial"], [])
        points += [_point(state, True) for state in record["waits"]]
        points += [_point(record[name], False) for name in ("before", "after") if record[name]]
    return Report(
        head=of_kind(records, "run")[0],
        devices={one["serial"]: one["device"] for one in of_kind(records, "device")},
        phone_names=phone_names(records),
        cells=cell_statistics(records),
        verifications=_last(of_kind(records, "verify"), _verified),
        profiles=_last(of_kind(records, "profile"), _profiled),
        trace=trace,
        lost=len(of_kind(records, "lost")),
    )


def text(report: Report) -> str:
    """Tables for a terminal, one for each phone."""
    parts = []
    for serial, device in report.devices.items():
        parts.append(f"{device_line(device)} ({serial})")
        rows = [row(report, cell) for cell in report.cells if cell.serial == serial]
        parts.append(format_table(HEADERS, rows) if rows else "nothing was measured")
    parts.append(f"benchmark_model: {program_line(report.head['binary'])}")
    failures = report.failures()
    if failures:
        parts.append("failed:\n" + "\n".join(f"  {line}" for line in failures))
    return "\n\n".join(parts)


HEADERS = (
    "model",
    "delegate",
    "threads",
    "cores",
    "p50",
    "95 % interval",
    "p90",
    "p99",
    "spread",
    "outputs",
    "marks",
    "max",
    "first",
    "init",
    "peak",
    "°C",
    "MHz",
)


def row(report: Report, cell: CellStatistics) -> list[str | int | None]:
    """A cell as a row under `HEADERS`."""
    interval = None
    if cell.p50 and cell.rounds > 1:
        interval = f"{_digits(cell.p50.low)} to {_digits(cell.p50.high)} ms"
    verified = report.verification_of(cell)
    outputs = verified and (verified.get("verdict") or "failed")
    return [
        cell.label,
        cell.delegate,
        cell.threads,
        cell.cores,
        milliseconds(cell.p50 and cell.p50.value),
        interval,
        milliseconds(cell.p90 and cell.p90.value),
        milliseconds(cell.p99 and cell.p99.value),
        None if cell.spread is None else f"{cell.spread:.1%}",
        outputs,
        ", ".join(cell.marks) or None,
        milliseconds(cell.max_ms),
        milliseconds(cell.first_ms),
        milliseconds(cell.init_ms),
        None if cell.peak_memory_mib is None else f"{cell.peak_memory_mib:.0f} MiB",
        _from_to(cell.celsius_before, cell.celsius_after),
        _from_to(cell.mhz_before, cell.mhz_after),
    ]


def _from_to(before, after):
    return None if before is None or after is None else f"{before:.0f} to {after:.0f}"


def program_line(binary: dict) -> str:
    """benchmark_model in one line: what it said it is, and its checksum."""
    # Runs of before it was asked do not say.
    said = [binary[name] for name in ("program", "release") if binary.get(name)]
    return ", ".join([*said, f"SHA-256 {binary['sha256']}"])


def device_line(device: dict) -> str:
    """A phone in one line."""
    name = f"{device['manufacturer'] or ''} {device['model'] or ''}".strip()
    return f"{name}, {device['soc']}, Android {device['android']}"


def as_json(report: Report) -> str:
    """The report for programs."""
    return json.dumps(
        {
            "schema": REPORT_SCHEMA,
            "records_schema": SCHEMA,
            **dataclasses.asdict(report),
            "failures": report.failures(),
        },
        indent=2,
        ensure_ascii=False,
        allow_nan=False,
    )


def as_csv(report: Report) -> str:
    """A line for each cell, figures without units."""
    stream = io.StringIO()
    fields = [
        field.name
        for field in dataclasses.fields(CellStatistics)
        if field.name not in (*_ESTIMATES, "centers_ms", "delegation", "marks")
    ]
    extra = [f"{name}{part}_ms" for name in _ESTIMATES for part in ("", "_low", "_high")]
    extra += ["coverage", "nodes", "delegated_nodes"]
    extra += ["partitions", "outputs", "largest_difference", "top1", "marks", "phone"]
    writer = csv.DictWriter(stream, fields + extra, lineterminator="\n")
    writer.writeheader()
    for cell in report.cells:
        verified = report.verification_of(cell) or {}
        top1 = report.top1_of(cell)
        line = {name: getattr(cell, name) for name in fields}
        for name in _ESTIMATES:
            if estimate := getattr(cell, name):
                line |= {f"{name}_ms": estimate.value, f"{name}_low_ms": estimate.low}
                line[f"{name}_high_ms"] = estimate.high
        if cell.delegation:
            for name in ("coverage", "nodes", "delegated_nodes", "partitions"):
                line[name] = getattr(cell.delegation, name)
        writer.writerow(
            line
            | {
                "outputs": verified.get("verdict"),
                "largest_difference": verified.get("largest_difference"),
                "top1": top1 and top1.value,
                "marks": "; ".join(cell.marks),
                "phone": device_line(report.devices[cell.serial]),
            }
        )
    return stream.getvalue()


def milliseconds(value: float | None) -> str | None:
    """A time with three significant digits."""
    return None if value is None else f"{_digits(value)} ms"


def _digits(value):
    if value <= 0:
        return "0"
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}"


def _point(state, waiting):
    return state["time"], state["processor"], state["battery"], waiting


def _last(records, key):
    """The last record of each key."""
    return list({key(record): record for record in records}.values())


def _profiled(record):
    return record["serial"], record["sha256"], record["delegate"]


def _verified(record):
    """Outputs can depend on the threads."""
    return *_profiled(record), record["threads"]


def _what(record):
    threads = f", threads {record['threads']}" if record["kind"] == "verify" else ""
    return f"{record['label']}, {record['delegate']}{threads}"
