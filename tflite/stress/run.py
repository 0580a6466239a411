"""Runs a .tflite file on many inputs in a process that may die of them."""

import dataclasses
import pathlib

import numpy as np

from care_keras.console.progress import progress
from care_keras.convert.images import read_pixels
from care_keras.data.overrides import InputOverrides
from care_keras.data.sources import open_source
from tflite.inputs.image_file import ImageFile
from tflite.inputs.model_inputs import read_model_input
from tflite.inputs.odd_inputs import FAMILIES, odd_input
from tflite.runs.python import host_command
from tflite.runs.run import run_images

# Photos that are read, at most; then they come again, brighter or darker.
_PHOTOS = 500
# Deaths of the process after which it is not started again.
_DEATHS = 10
# Failures that are told in words.
_MESSAGES = 5
_TIMEOUT_SECONDS = 120
# Inputs that are held in memory.
_AT_ONCE = 500


@dataclasses.dataclass(frozen=True)
class StressResult:
    """What became of the inputs.

    Attributes:
        inputs: How many of each family were run.
        failures: How many of each family failed.
        messages: The first few failures in words.
        photos: Photos that ran.
        distinct_outputs: Different outputs among them, of several all together.
        gives_classes: Whether all outputs are classes, which photos may share.
    """

    inputs: dict[str, int]
    failures: dict[str, int]
    messages: tuple[str, ...]
    photos: int
    distinct_outputs: int
    gives_classes: bool = False

    @property
    def passed(self) -> bool:
        """Whether every input ran and photos are told apart, where they need be."""
        alike = self.photos > 1 and self.distinct_outputs == 1
        return not self.failures and (self.gives_classes or not alike)


def stress(
    path: pathlib.Path,
    data: str,
    inputs: int,
    seed: int = 0,
    threads: int = 1,
    overrides: InputOverrides | None = None,
) -> StressResult:
    """Runs a file on `odd_input(0)` to `odd_input(inputs - 1)`, with noise in its other inputs.

    Args:
        path: The file; the JSON beside it says how images are prepared.
        data: Photos: `DIR`, `tfds:NAME[:SPLIT]` or `bundled`.
        inputs: How many inputs.
        seed: Their seed.
        threads: Threads of the CPU kernels.
        overrides: What the user says of the preparation.

    Raises:
        ValueError: If the file or the photos cannot be opened, or nothing says how images
            are prepared.
    """
    model_input = read_model_input(path, overrides)
    # Says what is wrong with it, if anything, before photos are read.
    file = ImageFile(path, model_input, seed=seed)
    source = open_source(data, "test").sample(_PHOTOS, seed)
    photos = read_pixels(source, model_input.preprocessing, f"reading {source.name}")[0]
    counts, failures, messages = dict.fromkeys(FAMILIES, 0), {}, []
    outputs, photo_count, deaths = set(), 0, 0
    bar = iter(progress(range(inputs), f"running {path.name}"))
    for start in range(0, inputs, _AT_ONCE):
        places = range(start, min(start + _AT_ONCE, inputs))
        families, images = zip(*(odd_input(i, seed, photos) for i in places), strict=True)
        encoded, still = file.encode(np.stack(images), start), file.encode(photos[:1])
        for name in file.others:
            # Noise that changes would tell photos apart that the file does not.
            encoded[name][np.asarray(families) == "photo"] = still[name]
        ran = run_images(
            host_command(),
            path,
            encoded.pop(file.image),
            file.input.shape,
            _TIMEOUT_SECONDS,
            lambda: next(bar),
            threads,
            _DEATHS - deaths,
            {file.inputs[name].index: array for name, array in encoded.items()},
        )
        if ran.error:
            raise ValueError(ran.error)
        for i, family in enumerate(families[: len(places) - ran.not_run]):
            counts[family] += 1
            error = ran.failures.get(i)
            if error is None:
                given = dict(zip(ran.names, ran.outputs[i], strict=True))
                bad = [name for name, output in given.items() if not _is_finite(output)]
                if bad:
                    error = f"an output is not finite: {', '.join(bad)}"
                elif family == "photo":
                    photo_count += 1
                    outputs.add(b"".join(output.tobytes() for output in given.values()))
            if error is not None:
                failures[family] = failures.get(family, 0) + 1
                if len(messages) < _MESSAGES:
                    messages.append(f"input {start + i}, {family}: {error}")
        deaths += ran.deaths
        if deaths == _DEATHS and (left := places[-1] + 1 - ran.not_run) < inputs:
            messages.append(f"the process died {deaths} times: inputs from {left} on were not run")
            break
    classes = all(tensor.is_classes for tensor in file.outputs.values())
    return StressResult(counts, failures, tuple(messages), photo_count, len(outputs), classes)


def _is_finite(output):
    return output.dtype.kind not in "fc" or bool(np.isfinite(output).all())
