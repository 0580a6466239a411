"""Made-up results, for tests of what is made from results."""

import pathlib

import numpy as np

from tflite.benchmark.engine import DelegateSummary, ModelRun, Round
from tflite.benchmark.latency import Candidate, Latency, summarize


def made_up(
    path: pathlib.Path, center_ms: float, threads: int = 1, reference_ms: float | None = None
) -> Latency:
    """Eight rounds that scatter by 1 % around `center_ms`."""
    generator = np.random.default_rng(round(1000 * center_ms) + threads)

    def rounds(center):
        return [
            Round(
                load_ms=5.0,
                first_inference_ms=2 * center,
                inferences=40,
                latency_min_ms=0.9 * middle,
                latency_mean_ms=middle,
                latency_median_ms=middle,
                latency_p95_ms=1.1 * middle,
                samples_ms=middle * np.exp(generator.normal(0, 0.02, 40)),
                memory_increase_mib=12.5,
                peak_memory_mib=60.0,
                delegate=DelegateSummary("part", 9, 295, 303),
            )
            for middle in center * np.exp(generator.normal(0, 0.01, 8))
        ]

    own = rounds(center_ms)
    reference = own if reference_ms is None else rounds(reference_ms)
    candidate = Candidate(path.name, ModelRun(path, threads))
    return summarize(candidate, own[0], own, reference, generator)


def made_up_of(times_ms: dict[str, float]) -> list[Latency]:
    """Files by their names' stems with one thread, and with two in half of the time."""
    return [
        made_up(pathlib.Path(f"{name}.tflite"), time / threads, threads)
        for threads in (1, 2)
        for name, time in times_ms.items()
    ]
