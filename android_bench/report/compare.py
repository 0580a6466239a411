"""One run against another: faster, slower, or no difference beyond noise."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from android_bench.records import of_kind, phone_names
from android_bench.report.statistics import CellStatistics, cell_statistics
from tflite.benchmark.report import verdict
from tflite.benchmark.statistics import FEWEST_ROUNDS, Estimate, unpaired_ratio


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A cell in two runs.

    Attributes:
        phone: What it ran on.
        old: In the first, or `None`.
        new: In the second, or `None`.
        ratio: New latency to old with its 95 % interval, where both have one.
        verdict: `"faster"`, `"slower"`, `"no difference beyond noise"`, `"too few
            rounds"`, `"failed"`, `"2 of 5 failed"`, `"only in the old run"`, `"only in the
            new run"`.
    """

    phone: str
    old: CellStatistics | None
    new: CellStatistics | None
    ratio: Estimate | None
    verdict: str

    @property
    def bad(self) -> bool:
        """Whether a check for regressions has to fail."""
        return self.verdict == "slower" or self.verdict.endswith("failed")


def compare(
    old: Sequence[dict], new: Sequence[dict], tolerance: float, seed: int = 0
) -> tuple[list[Comparison], list[str]]:
    """Holds the cells of two runs against each other, by phone, model name, and settings.

    Runs are not interleaved with each other, so what changed on the phone in
    between is in the ratio and not in its interval: `tolerance` is there for it.

    Args:
        old: Records of one run.
        new: Of the other.
        tolerance: Share by which two runs of one thing may differ.
        seed: Of the bootstrap.

    Returns:
        A comparison for each cell, and what differs besides, for people.

    Raises:
        ValueError: If they are of different phones, or have no cell in common.
    """
    names = [phone_names(records) for records in (old, new)]
    if not set(names[0].values()) & set(names[1].values()):
        raise ValueError(
            "The runs are of different phones, and their times cannot be compared. "
            f"Received: {', '.join(names[0].values())} and {', '.join(names[1].values())}"
        )
    cells = [
        {_key(cell, phones): cell for cell in cell_statistics(records, seed)}
        for records, phones in zip((old, new), names, strict=True)
    ]
    if not set(cells[0]) & set(cells[1]):
        raise ValueError(
            "The runs have no model with the same delegate, threads and cores in common. "
            f"Received: {_list(cells[0])} and {_list(cells[1])}"
        )
    generator = np.random.default_rng(seed)
    comparisons = [
        _compare_cell(key[0], cells[0].get(key), cells[1].get(key), tolerance, generator)
        for key in dict.fromkeys([*cells[0], *cells[1]])
    ]
    return comparisons, _differences(old, new, comparisons)


def _compare_cell(phone, old, new, tolerance, generator):
    if new is None:
        return Comparison(phone, old, None, None, "only in the old run")
    if old is None:
        return Comparison(phone, None, new, None, "only in the new run")
    if not new.rounds and old.rounds:
        return Comparison(phone, old, new, None, "failed")
    if new.failed_rounds and not old.failed_rounds:
        runs = new.rounds + new.failed_rounds
        return Comparison(phone, old, new, None, f"{new.failed_rounds} of {runs} failed")
    if min(old.rounds, new.rounds) < FEWEST_ROUNDS:
        return Comparison(phone, old, new, None, "too few rounds")
    ratio = unpaired_ratio(new.centers_ms, old.centers_ms, generator)
    return Comparison(phone, old, new, ratio, verdict(ratio, tolerance))


def _differences(old, new, comparisons):
    """What else is not the same in both runs."""
    heads = of_kind(old, "run")[0], of_kind(new, "run")[0]
    notes = []
    if heads[0]["binary"]["sha256"] != heads[1]["binary"]["sha256"]:
        families = {head["binary"].get("family", "tensorflow") for head in heads}
        notes.append(f"benchmark_model is another {'program' if len(families) > 1 else 'build'}")
    changed = {
        pair.new.label
        for pair in comparisons
        if pair.old and pair.new and pair.old.sha256 != pair.new.sha256
    }
    notes += [f"{label} is another file" for label in sorted(changed)]
    builds = [
        {record["device"]["fingerprint"] for record in of_kind(records, "device")}
        for records in (old, new)
    ]
    if builds[0] != builds[1]:
        notes.append("Android is another build")
    if heads[0]["settings"]["length"] != heads[1]["settings"]["length"]:
        notes.append("rounds are of another length")
    return notes


def _key(cell, phones):
    return phones[cell.serial], cell.label, cell.delegate, cell.threads, cell.cores


def _list(cells):
    names = list(dict.fromkeys(cell.name for cell in cells.values()))
    return "; ".join(names[:3]) + ("; ..." if len(names) > 3 else "") or "nothing"
