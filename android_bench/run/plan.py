"""What is measured in which order."""

import dataclasses
import hashlib
import pathlib
import random
from collections.abc import Sequence

DELEGATES = ("xnnpack", "cpu", "gpu", "nnapi", "npu", "external")
# Round 0 looks at each cell once: peak memory, delegation, whether it runs at all.
PROBE = 0


@dataclasses.dataclass(frozen=True)
class Model:
    """A .tflite file.

    Attributes:
        label: Its name in reports.
        path: The file.
        sha256: Its checksum, by which it is known on the phone and in records.
        size_bytes: Its size.
    """

    label: str
    path: pathlib.Path
    sha256: str
    size_bytes: int


@dataclasses.dataclass(frozen=True)
class Cell:
    """One combination to measure.

    Attributes:
        label: The model's name.
        sha256: The model's checksum.
        delegate: One of `DELEGATES`.
        threads: Threads.
        cores: Group of cores, as `Device.cores_named` takes it.
    """

    label: str
    sha256: str
    delegate: str
    threads: int
    cores: str

    @property
    def key(self) -> tuple:
        """What two measurements of the same thing have in common."""
        return self.sha256, self.delegate, self.threads, self.cores

    @property
    def outputs_name(self) -> str:
        """For people, what outputs can depend on: all but the cores."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.label}, {self.delegate}, {threads}"

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.outputs_name}, {self.cores} cores"


@dataclasses.dataclass(frozen=True)
class Job:
    """A cell in a round."""

    round: int
    cell: Cell


def read_models(paths: Sequence[str]) -> list[Model]:
    """Opens the files that were named; equal names get the start of their checksums.

    Raises:
        ValueError: If one is missing, is no .tflite file, or is given twice.
    """
    models: list[Model] = []
    for name in paths:
        path = pathlib.Path(name)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ValueError(
                f"The model cannot be read. Received: {name} ({error.strerror})"
            ) from error
        # The identifier of TFLite's flatbuffers.
        if content[4:8] != b"TFL3":
            raise ValueError(f"The file is no .tflite model. Received: {name}")
        digest = hashlib.sha256(content).hexdigest()
        same = next((model for model in models if model.sha256 == digest), None)
        if same is not None:
            raise ValueError(f"Two files are the same model. Received: {same.path} and {name}")
        models.append(Model(path.name, path, digest, len(content)))
    labels = [model.label for model in models]
    return [
        dataclasses.replace(model, label=f"{model.label} ({model.sha256[:8]})")
        if labels.count(model.label) > 1
        else model
        for model in models
    ]


def matrix(
    models: Sequence[Model],
    delegates: Sequence[str],
    threads: Sequence[int],
    cores: Sequence[str],
    core_counts: dict[str, int],
) -> tuple[list[Cell], list[Cell]]:
    """All combinations.

    Args:
        models: Files.
        delegates: Of `DELEGATES`.
        threads: Numbers of threads.
        cores: Groups of cores.
        core_counts: How many cores each group has.

    Returns:
        The cells to measure, and those that are left out because they would have
        more threads than cores.
    """
    cells = [
        Cell(model.label, model.sha256, delegate, count, group)
        for model in models
        for delegate in dict.fromkeys(delegates)
        for count in dict.fromkeys(threads)
        for group in dict.fromkeys(cores)
    ]
    fitting = [cell for cell in cells if cell.threads <= core_counts[cell.cores]]
    return fitting, [cell for cell in cells if cell not in fitting]


def order(cells: Sequence[Cell], rounds: int, seed: int) -> list[Job]:
    """Every cell once in every round, each round shuffled anew; always the same for a seed.

    A drift of the phone then hits all cells, and none is always the first.
    """
    jobs = []
    for number in range(rounds + 1):
        shuffled = list(cells)
        random.Random(f"{seed}/{number}").shuffle(shuffled)
        jobs += [Job(number, cell) for cell in shuffled]
    return jobs
