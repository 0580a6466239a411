"""What an engine is: it runs a model for a round and says what it saw.

An engine starts a process for each round, so that load time, first inference
and memory are those of a model alone, and differences between processes (memory
layout, pages) are part of what the rounds scatter by.
"""

import dataclasses
import pathlib
from typing import Protocol

import numpy as np

from tflite.benchmark_tool.profile import OpProfile


@dataclasses.dataclass(frozen=True)
class RoundPlan:
    """How long a round is: at least so many inferences, and at least so long.

    Attributes:
        warmup_runs: Inferences before the timed ones.
        warmup_seconds: Time of them.
        runs: Timed inferences.
        seconds: Time of them.
    """

    warmup_runs: int = 3
    warmup_seconds: float = 0.1
    runs: int = 20
    seconds: float = 0.3


ONE_RUN = RoundPlan(warmup_runs=1, warmup_seconds=0, runs=1, seconds=0)


@dataclasses.dataclass(frozen=True)
class ModelRun:
    """What is run: a file and how.

    Attributes:
        path: The .tflite file.
        threads: Threads of the CPU kernels.
        shapes: Sizes of inputs by name; the name `""` is a lone input.
    """

    path: pathlib.Path
    threads: int = 1
    shapes: dict[str, list[int]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class DelegateSummary:
    """How much of the graph XNNPACK runs; `None` is what the engine does not say.

    Attributes:
        coverage: `"all"`, `"part"` or `"none"`.
        partitions: Parts it runs.
        delegated_ops: Operations in them.
        ops: Operations of the graph.
    """

    coverage: str | None = None
    partitions: int | None = None
    delegated_ops: int | None = None
    ops: int | None = None


@dataclasses.dataclass(frozen=True)
class Round:
    """One process: a model loaded, warmed up and timed. `None` is what the engine does not say.

    Attributes:
        load_ms: Opening the file, applying the delegate, allocating tensors.
        first_inference_ms: The very first one.
        inferences: Timed ones.
        latency_min_ms: Least of them.
        latency_mean_ms: Mean.
        latency_median_ms: Median.
        latency_p95_ms: 95 % were as fast or faster.
        samples_ms: Each of them.
        memory_increase_mib: Growth of the largest resident set by the model, in 2**20 bytes.
        peak_memory_mib: Largest resident set of the whole process.
        delegate: What XNNPACK runs of the graph.
    """

    load_ms: float
    first_inference_ms: float
    inferences: int
    latency_min_ms: float
    latency_mean_ms: float
    latency_median_ms: float | None = None
    latency_p95_ms: float | None = None
    samples_ms: np.ndarray | None = None
    memory_increase_mib: float | None = None
    peak_memory_mib: float | None = None
    delegate: DelegateSummary = DelegateSummary()

    @property
    def latency_center_ms(self) -> float:
        """The median; of releases of benchmark_model that print none, the mean."""
        return self.latency_mean_ms if self.latency_median_ms is None else self.latency_median_ms


class Engine(Protocol):
    """Runs rounds."""

    name: str

    def versions(self) -> dict[str, str]:
        """What ran, to stand beside the figures."""

    def check(self, model: ModelRun) -> Round:
        """A first look: the model is loaded and run once, and its memory watched.

        Raises:
            ValueError: If it fails; the message says how.
        """

    def run_round(self, model: ModelRun, plan: RoundPlan) -> Round:
        """Starts a process, loads the model and times it.

        Raises:
            ValueError: If it fails; the message says how.
        """

    def outputs(self, model: ModelRun) -> list[np.ndarray] | None:
        """Every output for the engine's random input, `None` if the engine cannot tell.

        Raises:
            ValueError: If it fails; the message says how.
        """

    def profile(self, model: ModelRun) -> OpProfile | None:
        """Time per operation, or `None` if the engine cannot tell."""
