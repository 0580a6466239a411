"""How far two runs of one .tflite file are apart, and whether that is far."""

import dataclasses

import numpy as np

from care_keras.litert.tensor import TensorInfo
from care_keras.metrics import Difference, snr_db
from care_keras.tflite_file import Graph
from tflite.runs.answers import Answers, agreement
from tflite.runs.run import Run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison(Difference):
    """One run against another.

    Attributes:
        images: Images that ran on both sides.
        agreement: Share of answers that both have in common, `None` if nothing says
            what the outputs are read for.
        worst_output: Name of the output that differs most, `None` if all are equal.
        failures: For each image that did not run on both sides, what happened.
        max_codes: Integers may differ by so much.
        tolerance: Floats may differ by so much, relatively.
    """

    images: int
    agreement: float | None
    worst_output: str | None
    failures: dict[int, str]
    max_codes: int
    tolerance: float

    @property
    def verdict(self) -> str:
        """`"equal"`, `"within 2 codes"`, `"within 0.0001"`, `"wrong"` or `"failed"`."""
        if self.failures or not self.images:
            return "failed"
        if self.equal == self.values:
            return "equal"
        if not self.within(self.max_codes, self.tolerance):
            return "wrong"
        allowed = [f"{self.max_codes} codes"] if self.largest_codes else []
        allowed += [f"{self.tolerance:g}"] if self.largest_relative else []
        return f"within {' and '.join(allowed)}"

    @property
    def passed(self) -> bool:
        """Whether the verdict is a good one."""
        return self.verdict not in ("wrong", "failed")


def compare(
    reference: Run,
    other: Run,
    max_codes: int,
    tolerance: float,
    answers: Answers | None = None,
) -> Comparison:
    """Compares the outputs of two runs on the same images.

    Args:
        reference: The one that is held to be right.
        other: The other one.
        max_codes: Integers may differ by so much.
        tolerance: Floats may differ by so much, over the largest value.
        answers: What the outputs are read for.
    """
    both = sorted(reference.outputs.keys() & other.outputs.keys())
    pairs = {
        (image, index): pair
        for image in both
        for index, pair in enumerate(
            zip(reference.outputs[image], other.outputs[image], strict=True)
        )
    }
    # By output: the worst difference in units of what is allowed.
    worst: dict[int, float] = {}
    for (_, index), pair in pairs.items():
        one = Difference.of([pair])
        excess = (one.largest_codes or 0) / max(max_codes, 1)
        excess += (one.largest_relative or 0.0) / max(tolerance, 1e-30)
        if one.differing and not excess <= worst.get(index, -1.0):
            worst[index] = excess
    failures = dict(other.failures)
    for image, text in reference.failures.items():
        failures[image] = f"on {'both sides' if image in failures else 'the host'}: {text}"
    return Comparison.of(
        pairs.values(),
        images=len(both),
        agreement=agreement(
            answers, [(reference.outputs[image], other.outputs[image]) for image in both]
        ),
        worst_output=reference.names[max(worst, key=worst.get)] if worst else None,
        failures=failures,
        max_codes=max_codes,
        tolerance=tolerance,
    )


def outputs_snr_db(
    graph: Graph, reference: Run, other: Run, answers: Answers | None = None
) -> dict[str, float]:
    """Signal-to-noise ratio of each output's real values over all images, by its name.

    Args:
        graph: The file.
        reference: The run that is held to be right.
        other: The other one; what ran on one side alone is left out.
        answers: What the outputs are read for; what nobody reads of them is left out.
    """
    images = sorted(reference.outputs.keys() & other.outputs.keys())
    read = []
    for run in (reference, other):
        pairs = [(run.outputs[image], reference.outputs[image]) for image in images]
        read.append([list(one) if answers is None else answers.read(one, of) for one, of in pairs])
    found = {}
    for index, tensor in enumerate(graph.outputs if images else ()):
        info = TensorInfo.of_tensor(tensor)
        first, second = (
            info.dequantize(np.concatenate([one[index].ravel() for one in of_run]))
            for of_run in read
        )
        found[tensor.name] = snr_db(second, first)
    return found
