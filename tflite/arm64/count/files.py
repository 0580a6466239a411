"""The instructions of files on all cores, whole and by kinds of operators."""

import dataclasses
import itertools
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from care_keras.console.progress import progress
from care_keras.data.overrides import InputOverrides
from care_keras.tflite_file import read_graph
from tflite.arm64.count.instructions import CLASSES, Counts
from tflite.arm64.count.measure import Counted, Job, count
from tflite.arm64.count.one_operator import OneOperator, one_operator_files
from tflite.arm64.count.records import OperatorCounts, Record
from tflite.arm64.count.setup import Counter
from tflite.arm64.emulator import Emulator
from tflite.inputs.model_inputs import image_tensor
from tflite.inputs.odd_inputs import FAMILIES
from tflite.inputs.real_and_extreme import make_inputs
from tflite.runs.python import host_command
from tflite.runs.run import run_images
from tflite.runs.tensors import expose_tensors, readable_tensors

# One for each inference that counts.
_PHOTOS = 3


@dataclasses.dataclass(frozen=True)
class CountSettings:
    """How files are counted; the flags of `tflite.arm64` name and explain the fields."""

    cores: Sequence[str]
    data: str
    seed: int
    overrides: InputOverrides
    timeout_seconds: float
    operators: bool


@dataclasses.dataclass(frozen=True, eq=False)
class _File:
    """A file with its photos, whole and in pieces that have jobs of their own."""

    name: str
    whole: Job
    operators: list[OneOperator] | None
    pieces: list[Job]

    @property
    def jobs(self) -> list[Job]:
        return [self.whole, *self.pieces]


def count_files(
    paths: Sequence[pathlib.Path],
    emulators: Mapping[str, Emulator],
    counter: Counter,
    settings: CountSettings,
) -> list[Record]:
    """Counts every file under every runtime as every core.

    Args:
        paths: The .tflite files; no two have one name.
        emulators: By the runtime's version.
        counter: What `find_counter` gives.
        settings: How.

    Raises:
        ValueError: If a file, the photos or a core cannot be used.
    """
    records = []
    with tempfile.TemporaryDirectory(prefix="care_keras_arm64-") as name:
        files = [
            _prepare(path, pathlib.Path(name) / str(place), settings)
            for place, path in enumerate(paths)
        ]
        for runtime, core in itertools.product(emulators, settings.cores):
            emulator, seconds = emulators[runtime], settings.timeout_seconds
            records += _count_as(core, files, runtime, emulator, counter, seconds)
    place = {file.name: place for place, file in enumerate(files)}
    return sorted(records, key=lambda record: place[record.model])


def _count_as(
    core: str,
    files: Sequence[_File],
    runtime: str,
    emulator: Emulator,
    counter: Counter,
    seconds: float,
) -> Iterator[Record]:
    jobs = [job for file in files for job in file.jobs]
    bar = iter(progress(range(len(jobs)), f"counting, {runtime}, {core}, file"))
    next(bar)
    counted = iter(count(emulator, counter, core, jobs, seconds, lambda: next(bar, None)))
    as_run = counter.on(emulator, pathlib.Path())
    for file in files:
        whole = next(counted)
        if whole.counts is None:
            raise ValueError(f"{whole.error} ({runtime}, {core})")
        pieces = [next(counted) for _ in file.pieces]
        yield Record(
            file.name,
            runtime,
            core,
            as_run.cpu_model(core),
            as_run.qemu_version,
            whole.counts,
            None if file.operators is None else _by_kind(file.operators, pieces),
        )


def _prepare(path: pathlib.Path, folder: pathlib.Path, settings: CountSettings) -> _File:
    inputs = make_inputs(
        path, settings.data, _PHOTOS * len(FAMILIES), settings.seed, settings.overrides
    )
    photos = [place for place, family in enumerate(inputs.families) if family == "photo"]
    graph = read_graph(path)
    images = image_tensor(graph)
    shapes = {images.index: inputs.shape}
    rows = {images.index: inputs.values} | inputs.others
    arrays = {
        index: np.stack(
            [np.broadcast_to(row[i], shapes.get(index, graph.tensors[index].shape)) for i in photos]
        )
        for index, row in rows.items()
    }
    whole = Job(path, arrays)
    if not settings.operators:
        return _File(path.name, whole, None, [])
    folder.mkdir()
    values = _values(path, folder, inputs, photos[0], settings)
    values |= {index: array[0] for index, array in arrays.items()}
    operators = list(one_operator_files(path.read_bytes(), values))
    return _File(path.name, whole, operators, list(_pieces(operators, folder)))


def _values(path, folder, inputs, photo, settings) -> dict[int, np.ndarray]:
    """What all tensors hold for a photo, as this machine computes it."""
    content = path.read_bytes()
    exposed = folder / f"all tensors of {path.name}"
    exposed.write_bytes(expose_tensors(content))
    run = run_images(
        host_command(),
        exposed,
        inputs.values[photo : photo + 1],
        inputs.shape,
        settings.timeout_seconds,
        others={index: array[photo : photo + 1] for index, array in inputs.others.items()},
    )
    exposed.unlink()
    if run.error or run.failures:
        raise ValueError(run.error or f"{path.name} fails on the host. Received: {run.failures[0]}")
    return dict(zip(readable_tensors(read_graph(content)), run.outputs[0], strict=True))


def _pieces(operators: Sequence[OneOperator], folder: pathlib.Path) -> Iterator[Job]:
    for place, operator in enumerate(operators):
        if operator.content is not None:
            model = folder / f"{place}_{operator.label.partition(':')[0]}.tflite"
            model.write_bytes(operator.content)
            yield Job(model, {index: array[None] for index, array in operator.inputs.items()})


def _by_kind(
    operators: Sequence[OneOperator], pieces: Sequence[Counted]
) -> tuple[OperatorCounts, ...]:
    left = iter(pieces)
    nothing = Counts(dict.fromkeys(CLASSES, 0))
    found: dict[str, OperatorCounts] = {}
    for operator in operators:
        counted = Counted(None, operator.reason) if operator.content is None else next(left)
        before = found.get(operator.label, OperatorCounts(operator.label, 0, nothing))
        found[operator.label] = OperatorCounts(
            operator.label,
            before.number + 1,
            before.counts + (counted.counts or nothing),
            before.not_counted + (() if counted.error is None else (counted.error,)),
        )
    return tuple(found.values())
