"""Runs .tflite files, and marks each inference for the plugin that counts instructions.

For `tflite.child.worker`, under emulation: it imports no more than an emulated
Python has.
"""

import os
from collections.abc import Iterator

import numpy as np

from care_keras.litert.file import LiteRTFile


def work(request: dict) -> Iterator[dict]:
    """Runs files one after the other, each `inferences` times, with one thread.

    Args:
        request: `inferences`, and `jobs`, each with `model`, a path, and `inputs`, an .npz file
            that has for each input, by its tensor's index, an array of shape `(images, ...)`; the
            images are run in turn.

    Yields:
        For each job `marks`, how many it set: two for an inference, one before and one after it.
        With `failed` where it could not be run to its end.
    """
    for job in request["jobs"]:
        marks = _Marks()
        try:
            _run(job, request["inferences"], marks)
        except ValueError as error:
            yield {"marks": marks.count, "failed": " ".join(str(error).split())}
        else:
            yield {"marks": marks.count}


class _Marks:
    """Marks for `plugin.c`: a system call that nothing else here makes."""

    def __init__(self):
        self.count = 0

    def set(self):
        self.count += 1
        os.getpriority(os.PRIO_PROCESS, 0)


def _run(job, inferences, marks):
    with np.load(job["inputs"], allow_pickle=False) as archive:
        arrays = {int(index): archive[index] for index in archive.files}

    def shapes(details):
        return {name: arrays[one["index"]].shape[1:] for name, one in details.items()}

    file = LiteRTFile(job["model"], 1, shapes, strict=False)
    for inference in range(inferences):
        file.feed(
            {
                name: arrays[tensor.index][inference % len(arrays[tensor.index])]
                for name, tensor in file.inputs.items()
            }
        )
        marks.set()
        try:
            file.invoke()
        finally:
            marks.set()
