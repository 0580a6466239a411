"""What the rounds of a run say about each cell."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from android_bench.records import measured, of_kind
from android_bench.run.delegation import Delegation
from android_bench.run.plan import PROBE
from tflite.benchmark.statistics import FEWEST_ROUNDS, Estimate, quantiles, typical

# Rounds of a cell differ by more than this share of its latency: something disturbed it.
DISAGREEMENT = 0.10
# A core whose limit is below this share of its maximum is throttled.
_FULL_SPEED = 0.99


@dataclasses.dataclass(frozen=True)
class CellStatistics:
    """A cell over its rounds. Times in ms, temperatures in °C; `None` is what is not known.

    Attributes:
        serial: The phone.
        label: The model's name.
        sha256: Its checksum.
        delegate: What was to run it.
        threads: Threads.
        cores: Group of cores.
        rounds: Rounds that gave a result.
        failed_rounds: Rounds that did not.
        failure: Why the last of those failed.
        centers_ms: Median of each round (mean, where the tool prints no median).
        p50: Median over rounds of the rounds' medians, with its 95 % interval.
        p5_ms: Median over rounds of the rounds' 5th percentile.
        p95_ms: The same of the 95th.
        max_ms: Slowest inference of all.
        single_runs: Runs that were timed one by one, over all rounds.
        single_p50_ms: Their median.
        p90: Their 90th percentile with its 95 % interval, from 10 runs on.
        p99: The same of the 99th, from 100 runs on.
        spread: Largest minus smallest round, in units of `p50`.
        init_ms: Median time to load and prepare.
        first_ms: Median time of the first inference.
        peak_memory_mib: Largest resident set of the probe.
        memory_mib: Median growth of the resident set in a round.
        celsius_before: Median temperature at the start.
        celsius_after: Highest temperature at an end.
        mhz_before: Median over rounds of the fastest used core's frequency at the start.
        mhz_after: The same at the end.
        limit_mhz: Lowest limit of the cores that were used, at an end.
        delegation: What ran the graph.
        marks: What is to be known before the figures are believed.
    """

    serial: str
    label: str
    sha256: str
    delegate: str
    threads: int
    cores: str
    rounds: int
    failed_rounds: int
    failure: str | None
    centers_ms: tuple[float, ...]
    p50: Estimate | None
    p5_ms: float | None
    p95_ms: float | None
    max_ms: float | None
    single_runs: int
    single_p50_ms: float | None
    p90: Estimate | None
    p99: Estimate | None
    spread: float | None
    init_ms: float | None
    first_ms: float | None
    peak_memory_mib: float | None
    memory_mib: float | None
    celsius_before: float | None
    celsius_after: float | None
    mhz_before: float | None
    mhz_after: float | None
    limit_mhz: float | None
    delegation: Delegation | None
    marks: tuple[str, ...]

    @property
    def name(self) -> str:
        """For people and pictures; the phone is named elsewhere."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.label}, {self.delegate}, {threads}, {self.cores}"


def cell_statistics(records: Sequence[dict], seed: int = 0) -> list[CellStatistics]:
    """Statistics of every cell, in the order in which models and settings were named.

    Args:
        records: Of a run.
        seed: Of the bootstrap.
    """
    groups: dict[tuple, list[dict]] = {}
    for key, record in measured(records).items():
        groups.setdefault(key[:-1], []).append(record)
    maxima = {
        record["serial"]: {
            str(core["number"]): core["max_khz"] for core in record["device"]["cores"]
        }
        for record in of_kind(records, "device")
    }
    generator = np.random.default_rng(seed)
    head = of_kind(records, "run")[0]
    models = [model["sha256"] for model in head["models"]]

    def place(key):
        serial, digest, delegate, threads, cores = key
        settings = head["settings"]
        return (
            list(maxima).index(serial),
            models.index(digest),
            settings["delegates"].index(delegate),
            threads,
            settings["cores"].index(cores),
        )

    return [_statistics(groups[key], maxima, generator) for key in sorted(groups, key=place)]


def _statistics(group, maxima, generator):
    first = group[0]
    good = [one for one in group if one["status"] == "ok"]
    failed = [one for one in group if one["status"] != "ok"]
    rounds = [one for one in good if one["round"] != PROBE]
    probes = [one for one in good if one["round"] == PROBE]
    regular = [one["log"]["regular"] for one in rounds]
    centers = [
        (one["median_us"] if one["median_us"] is not None else one["avg_us"]) / 1e3
        for one in regular
    ]
    p50 = typical(centers, generator) if centers else None
    spread = (max(centers) - min(centers)) / p50.value if centers and p50.value else None
    singles = [
        np.asarray(one["singles"]["times_us"]) / 1e3
        for one in rounds
        # Records of older runs have none.
        if one.get("singles") and one["singles"]["times_us"]
    ]
    single_runs = sum(map(len, singles))
    single_p50_ms = float(np.median(np.concatenate(singles))) if singles else None
    p90, p99 = quantiles(singles, (0.9, 0.99), generator) if singles else (None, None)
    limits = [limit for one in rounds if (limit := _limit(one, maxima)) is not None]
    # The probe prints how many nodes a delegate runs, rounds only whether it runs all.
    told = [one["delegation"] for one in probes + rounds + failed if one["delegation"]]
    names = [field.name for field in dataclasses.fields(Delegation)]
    delegation = Delegation(**{name: told[0][name] for name in names}) if told else None
    return CellStatistics(
        **{name: first[name] for name in ("serial", "label", "sha256", "delegate")},
        threads=first["threads"],
        cores=first["cores"],
        rounds=len(rounds),
        failed_rounds=len(failed),
        failure=failed[-1]["reason"] if failed else None,
        centers_ms=tuple(centers),
        p50=p50,
        p5_ms=_median(one["p5_us"] for one in regular),
        p95_ms=_median(one["p95_us"] for one in regular),
        max_ms=max((one["max_us"] / 1e3 for one in regular if one["max_us"]), default=None),
        single_runs=single_runs,
        single_p50_ms=single_p50_ms,
        # A percentile needs a run beyond it.
        p90=p90 if single_runs >= 10 else None,
        p99=p99 if single_runs >= 100 else None,
        spread=spread,
        init_ms=_median(one["log"]["init_us"] for one in rounds),
        first_ms=_median(one["log"]["first_inference_us"] for one in rounds),
        peak_memory_mib=_median((one["log"]["peak_memory_mib"] for one in probes), 1),
        memory_mib=_median((one["log"]["memory_overall_mib"] for one in rounds), 1),
        celsius_before=_median((_celsius(one["before"]) for one in rounds), 1),
        celsius_after=max(
            (value for one in rounds if (value := _celsius(one["after"])) is not None),
            default=None,
        ),
        mhz_before=_median((_fastest(one, "before") for one in rounds), 1e3),
        mhz_after=_median((_fastest(one, "after") for one in rounds), 1e3),
        limit_mhz=min((mhz for mhz, _ in limits), default=None),
        delegation=delegation,
        marks=_marks(rounds, failed, spread, limits, delegation)
        + _single_marks(rounds, single_p50_ms, p50),
    )


def _marks(rounds, failed, spread, limits, delegation):
    marks = []
    throttled = any(_status(one["after"]) for one in rounds)
    if throttled or any(share < _FULL_SPEED for _, share in limits):
        marks.append("throttled")
    if 0 < len(rounds) < FEWEST_ROUNDS:
        marks.append("few rounds")
    if spread is not None and spread > DISAGREEMENT:
        marks.append("rounds disagree")
    if failed:
        marks.append(f"{len(failed)} failed")
    if delegation is not None and delegation.coverage == "part":
        marks.append("partly delegated")
    if delegation is not None and delegation.coverage == "none":
        marks.append("not delegated")
    if any((one["before"] or {}).get("power_save") for one in rounds):
        marks.append("battery saver")
    if any((one["before"] or {}).get("awake") is False for one in rounds):
        marks.append("screen off")
    return tuple(marks)


def _single_marks(rounds, single_p50_ms, p50):
    """What speaks against the percentiles of runs that were timed one by one."""
    marks = []
    if p50 and single_p50_ms and abs(single_p50_ms / p50.value - 1) > DISAGREEMENT:
        marks.append("single runs differ")
    if any(one.get("singles") and one["singles"]["reason"] for one in rounds):
        marks.append("single runs failed")
    return tuple(marks)


def _fastest(record, when):
    frequencies = (record[when] or {}).get("current_khz", {})
    known = [khz for core in record["core_numbers"] if (khz := frequencies.get(str(core)))]
    return max(known, default=None)


def _limit(record, maxima):
    """`(MHz, share of the maximum)` of the most limited core that was used."""
    after = record["after"] or {}
    pairs = [
        (limit, maxima.get(record["serial"], {}).get(str(core)))
        for core in record["core_numbers"]
        if (limit := after.get("limit_khz", {}).get(str(core)))
    ]
    shares = [(limit / 1e3, limit / most) for limit, most in pairs if most]
    return min(shares, key=lambda pair: pair[1]) if shares else None


def _celsius(state):
    if state is None:
        return None
    return state["battery"] if state["processor"] is None else state["processor"]


def _status(state):
    return bool(state and state["thermal_status"])


def _median(values, divisor=1e3):
    known = [value for value in values if value is not None]
    return float(np.median(known)) / divisor if known else None
