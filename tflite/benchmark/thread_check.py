"""Whether a .tflite file gives with several threads what it gives with one.

It should, to the bit in integers; kernels were seen that do not: XNNPACK's int8
BATCH_MATMUL on ARM64 (the audit's rule `batch-matmul-threads`).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from care_keras.metrics import Difference, finite_or_none
from tflite.benchmark.engine import Engine
from tflite.benchmark.latency import Candidate

# What floats may differ by, over an output's largest value: sums come in another order.
_TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True, kw_only=True)
class ThreadCheck(Difference):
    """Outputs with several threads against those with one, on the same inputs.

    Attributes:
        threads: How many.
    """

    threads: int

    @property
    def passed(self) -> bool:
        """Whether integers are equal, and floats but for their rounding."""
        return self.within(0, _TOLERANCE)

    def to_dict(self) -> dict:
        """As plain JSON types."""
        fields = dataclasses.asdict(self)
        relative = self.largest_relative
        fields["largest_relative"] = None if relative is None else finite_or_none(relative)
        return {"passed": self.passed, **fields}

    def __str__(self) -> str:
        parts = [] if self.largest_codes is None else [f"{self.largest_codes} codes"]
        if self.largest_relative is not None:
            parts.append(f"{self.largest_relative:.2g} of the largest output")
        return (
            f"with {self.threads} threads {self.differing / max(self.values, 1):.0%} of the output "
            f"values are not those with one, by up to {' and '.join(parts)}"
        )


def check_candidates(
    candidates: Sequence[Candidate], engine: Engine
) -> dict[tuple[str, int], ThreadCheck]:
    """Checks what is to be timed with several threads, by label and threads.

    Those that the engine tells no outputs of are left out.

    Raises:
        ValueError: If a model fails.
    """
    found, alone = {}, {}
    for candidate in candidates:
        run = candidate.run
        if run.threads == 1:
            continue
        if run.path not in alone:
            alone[run.path] = engine.outputs(dataclasses.replace(run, threads=1))
        one = alone[run.path]
        several = one and engine.outputs(run)
        if several:
            found[candidate.label, run.threads] = check_threads(run.threads, one, several)
    return found


def check_threads(
    threads: int, one: Sequence[np.ndarray], several: Sequence[np.ndarray]
) -> ThreadCheck:
    """Compares outputs in their own types.

    Args:
        threads: How many gave `several`.
        one: What one thread gave, an array for each output.
        several: What several gave on the same inputs.
    """
    return ThreadCheck.of(zip(one, several, strict=True), threads=threads)
