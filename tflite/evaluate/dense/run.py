"""One pass over images with any number of detectors or segmenters, and of workers."""

import concurrent.futures
import dataclasses
import queue
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from care_keras.console.progress import progress
from care_keras.data.preprocessing import resize_and_crop
from care_keras.data.sources import Source
from tflite.evaluate.dense.models import DenseModel
from tflite.evaluate.dense.task import DenseTask

# Images that are worked on ahead of the one whose answers are counted, for each worker: maps of
# classes are as large as images.
_AHEAD = 4


@dataclasses.dataclass(frozen=True, eq=False)
class ImageAnswers:
    """What came of one image.

    Attributes:
        index: Its place in the source.
        known: What is known of it; `None` of one that cannot be read.
        answers: What each model found.
        finite: Whether each model's outputs are.
        seconds: That each model took.
    """

    index: int
    known: Any = None
    answers: tuple = ()
    finite: tuple[bool, ...] = ()
    seconds: tuple[float, ...] = ()


def run_models(
    source: Source,
    task: DenseTask,
    models: Sequence[DenseModel],
    output_classes: Sequence[np.ndarray],
    workers: int = 1,
    skip_unreadable: bool = False,
) -> Iterator[ImageAnswers]:
    """Runs every model on every image, in their order; see `tflite.evaluate.run.run_models`.

    Args:
        source: Images of the task's kind.
        task: What the outputs are.
        models: The models.
        output_classes: For each, the data's class of its outputs (`match_classes`).
        workers: Number of threads.
        skip_unreadable: Leave images out that cannot be read.

    Raises:
        ValueError: If an image cannot be read, or a model fails to run.
    """
    workers = min(workers, len(source))
    free: queue.SimpleQueue = queue.SimpleQueue()
    for _ in range(workers):
        free.put([model.new_run(len(source)) for model in models])

    def work(index):
        runs = free.get()
        try:
            return _run_image(source, task, index, models, runs, output_classes, skip_unreadable)
        finally:
            free.put(runs)

    return _in_order(work, len(source), workers)


def _in_order(work, count, workers):
    """`work(0)` to `work(count - 1)`, some of them ahead."""
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    waiting: list[concurrent.futures.Future] = []
    try:
        for index in progress(range(count), "evaluating, image"):
            while len(waiting) < workers * _AHEAD and index + len(waiting) < count:
                waiting.append(pool.submit(work, index + len(waiting)))
            yield waiting.pop(0).result()
    finally:
        pool.shutdown(cancel_futures=True)


def _run_image(source, task, index, models, runs, output_classes, skip_unreadable):
    try:
        image, known = source[index], task.known(source, index)
    except ValueError as error:
        if skip_unreadable:
            return ImageAnswers(index)
        raise ValueError(
            "An image, or what is known of it, cannot be read; --skip_unreadable leaves such "
            f"images out. Received: {source.item_names[index]} of {source.name} ({error})"
        ) from error
    pixels, found = {}, []
    for model, run, classes in zip(models, runs, output_classes, strict=True):
        record = model.input.preprocessing
        geometry = record.height, record.width, record.channels, record.interpolation
        if geometry not in pixels:
            pixels[geometry] = resize_and_crop(image, record)[None]
        try:
            outputs, seconds = run(pixels[geometry], index)
        except ValueError as error:
            raise ValueError(f"{model.name}: {error}, in {source.item_names[index]}") from error
        outputs = [output[0] for output in outputs]
        finite = all(bool(np.isfinite(output).all()) for output in outputs)
        found.append((task.answer(model, outputs, classes, image.shape[:2]), finite, seconds))
    return ImageAnswers(index, known, *zip(*found, strict=True))
