"""LiteRT in Python as an engine: a process of `worker` for each round."""

import dataclasses
import os
import tempfile

import numpy as np

from care_keras.litert.model import runtime_version
from tflite.benchmark import worker
from tflite.benchmark.engine import ONE_RUN, DelegateSummary, ModelRun, Round, RoundPlan
from tflite.child.worker import ask


class LiteRTEngine:
    """LiteRT's Python interpreter, the wheel that is installed.

    Args:
        xnnpack: Whether its default delegate is used.
        seed: Seed of the random inputs.
        timeout_seconds: Time after which a process is stopped.
    """

    name = "litert"

    def __init__(self, xnnpack: bool = True, seed: int = 0, timeout_seconds: float = 300):
        self._xnnpack = xnnpack
        self._seed = seed
        self._timeout_seconds = timeout_seconds

    def versions(self) -> dict[str, str]:
        return {"ai-edge-litert": runtime_version()}

    def ask(self, model: ModelRun, plan: RoundPlan, **request) -> dict:
        """The worker's answer, see `worker.measure`, which `request` adds to."""
        request |= {
            "model": os.fspath(model.path),
            "threads": model.threads,
            "shapes": model.shapes,
            "xnnpack": self._xnnpack,
            "seed": self._seed,
            **dataclasses.asdict(plan),
        }
        return ask("LiteRT", worker.__file__, request, self._timeout_seconds)

    def check(self, model: ModelRun) -> Round:
        return self.run_round(model, ONE_RUN)

    def run_round(self, model: ModelRun, plan: RoundPlan) -> Round:
        answer = self.ask(model, plan)
        samples = np.asarray(answer["samples_ms"])
        return Round(
            load_ms=answer["load_ms"],
            first_inference_ms=answer["first_inference_ms"],
            inferences=len(samples),
            latency_min_ms=float(samples.min()),
            latency_mean_ms=float(samples.mean()),
            latency_median_ms=float(np.median(samples)),
            latency_p95_ms=float(np.quantile(samples, 0.95)),
            samples_ms=samples,
            memory_increase_mib=answer["memory_increase_mib"],
            peak_memory_mib=answer["peak_memory_mib"],
            delegate=_summary_of_counts(answer),
        )

    def outputs(self, model: ModelRun) -> list[np.ndarray] | None:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "outputs.npz")
            self.ask(model, ONE_RUN, outputs=path)
            if not os.path.exists(path):
                return None
            with np.load(path, allow_pickle=False) as archive:
                return [archive[f"arr_{index}"] for index in range(len(archive.files))]

    def profile(self, model: ModelRun) -> None:
        """The Python interpreter has no profiler."""


def _summary_of_counts(answer):
    ops, delegated, partitions = (answer[name] for name in ("ops", "delegated_ops", "partitions"))
    coverage = None
    if ops is not None:
        coverage = "none" if not partitions else "all" if delegated == ops else "part"
    return DelegateSummary(coverage, partitions, delegated, ops)
