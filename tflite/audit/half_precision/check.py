"""Runs a float .tflite file on the CPU in float32 and holds its tensors to float16's range."""

import dataclasses
import os
import pathlib
import tempfile

import numpy as np

from care_keras.litert.ranges import beyond_float16
from care_keras.tflite_file import Graph
from care_keras.tflite_file.reduced_precision import allows_float16
from tflite.audit.half_precision import worker
from tflite.audit.inputs import AuditInputs
from tflite.child.worker import open_worker

_TIMEOUT_SECONDS = 600


@dataclasses.dataclass(frozen=True)
class HalfPrecisionRange:
    """What was found of one file.

    Attributes:
        allowed: Whether the file's metadata let XNNPACK compute in half precision.
        tensors: How many float32 tensors its operators write.
        largest: Name and magnitude of the largest of them, `None` without any.
        beyond: Names and magnitudes of those that half precision does not hold, largest first.
        inputs: What it was run on.
        error: Why nothing is known, or `None`.
    """

    allowed: bool
    tensors: int = 0
    largest: tuple[str, float] | None = None
    beyond: tuple[tuple[str, float], ...] = ()
    inputs: str = ""
    error: str | None = None

    @property
    def holds(self) -> bool | None:
        """Whether half precision holds every number seen; `None` if that is not known."""
        return None if self.error else not self.beyond

    def to_dict(self) -> dict:
        """As plain JSON types."""
        return {
            **dataclasses.asdict(self),
            "beyond": [{"tensor": name, "largest": value} for name, value in self.beyond],
            "holds": self.holds,
        }


def check_range(
    path: str | os.PathLike, graph: Graph, inputs: AuditInputs | ValueError
) -> HalfPrecisionRange:
    """Runs a file in a process of its own and looks at all its float32 tensors.

    Args:
        path: The file.
        graph: What is in it.
        inputs: What to run it on, or why there is nothing.
    """
    allowed = allows_float16(graph)
    if isinstance(inputs, ValueError):
        return HalfPrecisionRange(allowed, error=str(inputs))
    try:
        largest = _largest(path, inputs)
    except ValueError as error:
        return HalfPrecisionRange(allowed, inputs=inputs.description, error=str(error))
    by_size = sorted(largest.items(), key=lambda item: -item[1])
    named = [(graph.tensors[index].name, value) for index, value in by_size]
    return HalfPrecisionRange(
        allowed=allowed,
        tensors=len(largest),
        largest=next(iter(named), None),
        beyond=tuple(named[: len(beyond_float16(largest))]),
        inputs=inputs.description,
    )


def _largest(path, inputs):
    with tempfile.TemporaryDirectory(prefix="care_keras_audit-") as folder:
        samples = pathlib.Path(folder) / "inputs.npz"
        np.savez(samples, **{str(index): array for index, array in inputs.arrays.items()})
        request = {"model": os.fspath(path), "inputs": os.fspath(samples)}
        with open_worker(worker.__file__, request) as running:
            answer = running.next(_TIMEOUT_SECONDS)
    if "error" in answer:
        raise ValueError(answer["error"])
    return {int(index): value for index, value in answer["largest"].items()}
