"""Counts the instructions of inferences under emulation."""

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from tflite.arm64.count import worker
from tflite.arm64.count.instructions import Counts
from tflite.arm64.count.setup import Counter
from tflite.arm64.emulator import Emulator
from tflite.child.worker import open_worker
from tflite.runs.run import START_SECONDS

# The first inference of a file also does what is done once; of the others the middle one counts.
_INFERENCES = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """A file to count.

    Attributes:
        model: The file.
        inputs: For each of its inputs, by the tensor's index, an array `(images, ...)`.
    """

    model: pathlib.Path
    inputs: Mapping[int, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Counted:
    """What became of a job.

    Attributes:
        counts: Of one inference, or `None` where it failed.
        error: Why it failed.
    """

    counts: Counts | None
    error: str | None = None


def count(
    emulator: Emulator,
    counter: Counter,
    core: str,
    jobs: Sequence[Job],
    limit_seconds: float,
    on_job: Callable[[], None] = lambda: None,
) -> list[Counted]:
    """Runs files as a core, all of them in one process, with one thread.

    Args:
        emulator: What `find_emulator` gives.
        counter: What `find_counter` gives.
        core: As of `Emulator.as_core`.
        jobs: The files.
        limit_seconds: For a file; the process is stopped after it.
        on_job: Is called for each file as it is through.

    Raises:
        ValueError: If qemu has no such core, or the process dies or takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="care_keras_arm64-") as name:
        folder = pathlib.Path(name)
        request = {"inferences": _INFERENCES, "jobs": list(_requests(jobs, folder))}
        counts = folder / "counts"
        answers = []
        with (
            counter.on(emulator, counts).as_core(core) as command,
            open_worker(worker.__file__, request, command) as running,
        ):
            for place in range(len(jobs)):
                start_seconds = 0 if place else START_SECONDS
                answers.append(running.next(start_seconds + limit_seconds))
                if "marks" not in answers[-1]:
                    raise ValueError(f"The runtime fails. Received: {answers[-1]['error']}")
                on_job()
        lines = iter(counts.read_text().splitlines())
    return [_read(answer, lines) for answer in answers]


def _requests(jobs: Sequence[Job], folder: pathlib.Path) -> Iterator[dict]:
    for place, job in enumerate(jobs):
        inputs = folder / f"{place}.npz"
        np.savez(inputs, **{str(index): array for index, array in job.inputs.items()})
        yield {"model": os.path.abspath(job.model), "inputs": os.fspath(inputs)}


def _read(answer: dict, lines: Iterator[str]) -> Counted:
    marks = [Counts.of_line(next(lines)) for _ in range(answer["marks"])]
    if "failed" in answer:
        return Counted(None, answer["failed"])
    counts = [after - before for before, after in zip(marks[::2], marks[1::2], strict=True)]
    repeated = sorted(counts[1:], key=lambda one: one.total)
    return Counted(repeated[len(repeated) // 2])
