"""Runs a .tflite file on many inputs in a process that may die of them."""

import dataclasses
import multiprocessing
import os
import pathlib

import numpy as np

from care_keras.console.progress import progress
from care_keras.convert.images import read_pixels
from care_keras.data.preprocessing import normalize
from care_keras.data.sources import open_source
from care_keras.litert.model import LiteRTModel
from tflite.inputs.model_inputs import read_model_input
from tflite.inputs.odd_inputs import FAMILIES, odd_input

# Photos that are read, at most; then they come again, brighter or darker.
_PHOTOS = 500
# Deaths of the process after which it is not started again.
_DEATHS = 10
# Failures that are told in words.
_MESSAGES = 5
_TIMEOUT_SECONDS = 120


@dataclasses.dataclass(frozen=True)
class StressResult:
    """What became of the inputs.

    Attributes:
        inputs: How many of each family were run.
        failures: How many of each family failed.
        messages: The first few failures in words.
        photos: Photos that ran.
        distinct_outputs: Different outputs among them.
    """

    inputs: dict[str, int]
    failures: dict[str, int]
    messages: tuple[str, ...]
    photos: int
    distinct_outputs: int

    @property
    def passed(self) -> bool:
        """Whether every input ran and photos are told apart."""
        return not self.failures and (self.photos < 2 or self.distinct_outputs > 1)


def stress(
    path: pathlib.Path, data: str, inputs: int, seed: int = 0, threads: int = 1
) -> StressResult:
    """Runs a file on `odd_input(0)` to `odd_input(inputs - 1)`.

    Args:
        path: The file; the JSON that `care_keras.convert` writes lies beside it.
        data: Photos: `DIR`, `tfds:NAME[:SPLIT]` or `bundled`.
        inputs: How many inputs.
        seed: Their seed.
        threads: Threads of the CPU kernels.

    Raises:
        ValueError: If the file or the photos cannot be opened.
    """
    model_input = read_model_input(path)
    input_kind, preprocessing = model_input.kind, model_input.preprocessing
    LiteRTModel(path)  # Says what is wrong with it, if anything, before photos are read.
    source = open_source(data, "test").sample(_PHOTOS, seed)
    photos = read_pixels(source, preprocessing, f"reading {source.name}")[0]
    job = (path, threads, input_kind, preprocessing, photos, seed, inputs)
    counts, failures, messages = dict.fromkeys(FAMILIES, 0), {}, []
    outputs, bar, deaths, index = set(), iter(progress(range(inputs), f"running {path.name}")), 0, 0
    photo_count = 0
    while index < inputs:
        for place, error, output in _answers(job, index):
            next(bar)
            index = place + 1
            family = FAMILIES[place % len(FAMILIES)]
            counts[family] += 1
            if error is None and family == "photo":
                photo_count += 1
                outputs.add(output)
            if error is not None:
                failures[family] = failures.get(family, 0) + 1
                if len(messages) < _MESSAGES:
                    messages.append(f"input {place}, {family}: {error}")
        if index < inputs and (deaths := deaths + 1) == _DEATHS:
            messages.append(f"the process died {deaths} times: inputs from {index} on were not run")
            break
    return StressResult(counts, failures, tuple(messages), photo_count, len(outputs))


def _answers(job, start):
    """`(index, error, output)` of each input from `start` on, until the process ends or dies."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, start, sender), daemon=True)
    process.start()
    sender.close()
    index = start
    try:
        while index < job[-1]:
            if not receiver.poll(_TIMEOUT_SECONDS):
                yield index, f"no answer within {_TIMEOUT_SECONDS} s", None
                return
            try:
                error, output = receiver.recv()
            except EOFError:
                process.join()
                yield index, f"the process ended with exit code {process.exitcode}", None
                return
            yield index, error, output
            index += 1
    finally:
        process.kill()
        process.join()
        receiver.close()


def _work(job, start, sender):
    path, threads, input_kind, preprocessing, photos, seed, inputs = job
    # What a kernel says as it fails goes into the answer, not onto the screen.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    model = LiteRTModel(path, num_threads=threads)
    for index in range(start, inputs):
        _, image = odd_input(index, seed, photos)
        values = image if input_kind == "rgb_uint8" else normalize(image, preprocessing)
        batch = np.broadcast_to(values[None], model.input.shape)
        try:
            output = model.run(model.input.quantize(batch))
        except ValueError as error:
            sender.send((str(error), None))
            continue
        finite = output.dtype != np.float32 or np.isfinite(output).all()
        sender.send((None if finite else "an output is not finite", output.tobytes()))
