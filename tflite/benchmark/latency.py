"""Latency of .tflite files on this machine, taken in interleaved rounds."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from care_keras.console.progress import progress
from tflite.benchmark.engine import DelegateSummary, Engine, ModelRun, Round, RoundPlan
from tflite.benchmark.statistics import Estimate, paired_ratio, quantiles, typical


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A file to be timed, under the name that tables and reports give it."""

    label: str
    run: ModelRun


@dataclasses.dataclass(frozen=True)
class Latency:
    """What the rounds of one file with so many threads say.

    Intervals are of 95 %, by a bootstrap over rounds. The minimum has none: a
    bootstrap cannot see below it.

    Attributes:
        label: Name of the file.
        run: What was run.
        inferences: Timed inferences of all rounds.
        latency_min_ms: Least of them.
        latency_median_ms: Median over rounds of each one's median, or of its
            mean where `center` says so.
        center: `"median"` or `"mean"`: what a round's latency is. Old releases of
            benchmark_model print no median.
        latency_mean_ms: Mean.
        latency_p90_ms: 90 % of all were as fast or faster, `None` if the engine
            does not give each inference.
        latency_p95_ms: 95 %; of benchmark_model the median over rounds.
        latency_p99_ms: 99 %.
        ratio: To the first file with as many threads, paired by round.
        load_ms: Median over rounds: files in the page cache.
        first_inference_ms: Likewise.
        memory_increase_mib: Largest over rounds, by the model, in 2**20 bytes.
        peak_memory_mib: Largest over rounds, of the whole process.
        delegate: What XNNPACK runs of the graph.
        centers_ms: Each round's latency.
    """

    label: str
    run: ModelRun
    inferences: int
    latency_min_ms: float
    latency_median_ms: Estimate
    center: str
    latency_mean_ms: float
    latency_p90_ms: Estimate | None
    latency_p95_ms: Estimate | None
    latency_p99_ms: Estimate | None
    ratio: Estimate
    load_ms: float
    first_inference_ms: float
    memory_increase_mib: float | None
    peak_memory_mib: float | None
    delegate: DelegateSummary
    centers_ms: tuple[float, ...]


def make_candidates(
    paths: Sequence[pathlib.Path], threads: Sequence[int], shapes: dict[str, list[int]]
) -> list[Candidate]:
    """Every file with every number of threads; files of one name are told apart.

    Raises:
        ValueError: If a file is missing.
    """
    for path in paths:
        if not path.is_file():
            reason = "it is a folder" if path.is_dir() else "there is no such file"
            raise ValueError(f"The model cannot be read. Received: {path} ({reason})")
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    labels = [
        f"{name} #{names[: i + 1].count(name)}" if names.count(name) > 1 else name
        for i, name in enumerate(names)
    ]
    return [
        Candidate(label, ModelRun(path, count, shapes))
        for count in threads
        for label, path in zip(labels, paths, strict=True)
    ]


def measure(
    candidates: Sequence[Candidate],
    engine: Engine,
    plan: RoundPlan,
    rounds: int,
    seed: int = 0,
) -> list[Latency]:
    """Times every candidate once in every round, in an order drawn anew for each.

    A first look at each, which is not counted, finds files that cannot run
    before minutes are spent on others, and brings them into the page cache.

    Args:
        candidates: What to time; the first one of each number of threads is what
            ratios are to.
        engine: Runs them.
        plan: How long a round is.
        rounds: How many; intervals need some.
        seed: Seed of the orders and of the bootstrap.

    Raises:
        ValueError: If a model fails.
    """
    looks = [engine.check(candidate.run) for candidate in progress(candidates, "checking, model")]
    generator = np.random.default_rng(seed)
    taken: list[list[Round]] = [[] for _ in candidates]
    for _ in progress(range(rounds), "measuring, round"):
        for index in generator.permutation(len(candidates)):
            taken[index].append(engine.run_round(candidates[index].run, plan))
    first = {}
    for candidate, own in zip(candidates, taken, strict=True):
        first.setdefault(candidate.run.threads, own)
    return [
        summarize(candidate, look, own, first[candidate.run.threads], generator)
        for candidate, look, own in zip(candidates, looks, taken, strict=True)
    ]


def summarize(
    candidate: Candidate,
    look: Round,
    rounds: Sequence[Round],
    reference: Sequence[Round],
    generator: np.random.Generator,
) -> Latency:
    """Statistics of one candidate's rounds.

    Args:
        candidate: What was timed.
        look: The first look at it, of which only the memory counts.
        rounds: Its rounds.
        reference: The rounds of what its ratio is to, of the same rounds.
        generator: Source of the bootstrap's draws.
    """
    centers = [one.latency_center_ms for one in rounds]
    reference_centers = [one.latency_center_ms for one in reference]
    if all(one.samples_ms is not None for one in rounds):
        samples = [one.samples_ms for one in rounds]
        p90, p95, p99 = quantiles(samples, (0.9, 0.95, 0.99), generator)
    else:
        p90 = p99 = None
        known = [one.latency_p95_ms for one in rounds if one.latency_p95_ms is not None]
        p95 = typical(known, generator) if known else None
    inferences = sum(one.inferences for one in rounds)
    return Latency(
        label=candidate.label,
        run=candidate.run,
        inferences=inferences,
        latency_min_ms=min(one.latency_min_ms for one in rounds),
        latency_median_ms=typical(centers, generator),
        center="mean" if any(one.latency_median_ms is None for one in rounds) else "median",
        latency_mean_ms=sum(one.latency_mean_ms * one.inferences for one in rounds) / inferences,
        latency_p90_ms=p90,
        latency_p95_ms=p95,
        latency_p99_ms=p99,
        ratio=paired_ratio(centers, reference_centers, generator),
        load_ms=float(np.median([one.load_ms for one in rounds])),
        first_inference_ms=float(np.median([one.first_inference_ms for one in rounds])),
        memory_increase_mib=_largest(one.memory_increase_mib for one in (look, *rounds)),
        peak_memory_mib=_largest(one.peak_memory_mib for one in (look, *rounds)),
        delegate=rounds[-1].delegate,
        centers_ms=tuple(centers),
    )


def _largest(values):
    return max((value for value in values if value is not None), default=None)
