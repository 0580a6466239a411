"""One pass over labelled images with any number of models and workers."""

import concurrent.futures
import dataclasses
import queue
import time
from collections.abc import Sequence

import numpy as np

from care_keras.console.progress import progress
from care_keras.data.preprocessing import resize_and_crop
from care_keras.data.sources import Source
from care_keras.metrics import label_ranks
from tflite.evaluate.accuracy import NO_CLASS
from tflite.evaluate.models import EvaluatedModel

# What a worker takes at a time, at most: 8 images of 224x224, and so many of small ones that
# starting Keras's operations costs little.
_CHUNK_PIXELS, _CHUNK_IMAGES = 8 * 224 * 224, 128


@dataclasses.dataclass(frozen=True, eq=False)
class ModelAnswers:
    """What one model said to the images.

    Attributes:
        predicted: int64 `(images,)`: the data's class, or `NO_CLASS` where the
            best output is none of them or a score is NaN.
        label_ranks: int64 `(images,)`: outputs that stand before the label's; of a
            model that gives the class alone 0 or 1.
        nan_images: Images with a score of NaN.
        seconds: Time spent in the model, of all workers together.
    """

    predicted: np.ndarray
    label_ranks: np.ndarray
    nan_images: int
    seconds: float


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """What came of a pass.

    Attributes:
        labels: int64 `(images,)`.
        models: Of each model.
        unreadable: Names of the images that were left out.
        seconds: Wall time, decoding included.
    """

    labels: np.ndarray
    models: list[ModelAnswers]
    unreadable: tuple[str, ...]
    seconds: float


def run_models(
    source: Source,
    models: Sequence[EvaluatedModel],
    output_classes: Sequence[np.ndarray],
    workers: int = 1,
    skip_unreadable: bool = False,
) -> Answers:
    """Runs every model on every image.

    An image is decoded once, and resized once for each way that models want it.
    Workers are threads, each with its own copy of every .tflite file: Pillow
    decodes and LiteRT runs outside of Python's lock. What comes out does not
    depend on how many there are.

    Args:
        source: Labelled images.
        models: The models.
        output_classes: For each, the data's class of its outputs
            (`match_classes`).
        workers: Number of threads.
        skip_unreadable: Leave images out that cannot be decoded.

    Raises:
        ValueError: If an image cannot be decoded, or a model fails to run.
    """
    chunks = _chunks(len(source), models)
    workers = min(workers, len(chunks))
    free: queue.SimpleQueue = queue.SimpleQueue()
    for _ in range(workers):
        free.put([model.new_scorer(len(source)) for model in models])

    def work(chunk):
        scorers = free.get()
        try:
            return _run_chunk(source, chunk, models, scorers, output_classes, skip_unreadable)
        finally:
            free.put(scorers)

    started = time.monotonic()
    bar = iter(progress(range(len(source)), "evaluating, image"))
    next(bar)  # It counts an image as done when it is asked for the next one.
    results = []
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    try:
        # In their order, so that of several bad images the first one is told.
        for chunk, result in zip(chunks, pool.map(work, chunks), strict=True):
            results.append(result)
            for _ in chunk:
                next(bar, None)
    finally:
        pool.shutdown(cancel_futures=True)
    return _joined(source, results, time.monotonic() - started)


def _chunks(count, models):
    largest = max(
        model.input.preprocessing.height * model.input.preprocessing.width for model in models
    )
    batch = max(model.batch for model in models)
    # Whole batches: the rest of a batch is filled up, and lost time.
    images = min(max(1, _CHUNK_PIXELS // largest), _CHUNK_IMAGES)
    size = -(-images // batch) * batch
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def _run_chunk(source, chunk, models, scorers, output_classes, skip_unreadable):
    images, kept = [], []
    for index in chunk:
        try:
            images.append(source[index])
        except ValueError as error:
            if not skip_unreadable:
                raise ValueError(
                    "An image cannot be read; --skip_unreadable leaves such images out. "
                    f"Received: {source.item_names[index]} of {source.name} ({error})"
                ) from error
            continue
        kept.append(index)
    labels, pixels, answers = source.labels[kept], {}, []
    for model, score, classes in zip(models, scorers, output_classes, strict=True):
        if not kept:
            answers.append((labels, labels, 0, 0.0))
            continue
        record = model.input.preprocessing
        size = (record.height, record.width, record.channels)
        geometry = (*size, record.crop_ratio, record.interpolation, record.fit)
        if geometry not in pixels:
            pixels[geometry] = np.stack([resize_and_crop(image, record) for image in images])
        try:
            scores, seconds = score(pixels[geometry], chunk[0])
        except ValueError as error:
            names = source.item_names[kept[0]], source.item_names[kept[-1]]
            raise ValueError(
                f"{model.name}: {error}, in images {names[0]} to {names[1]}"
            ) from error
        told = _answers_of_classes if model.gives_class else _answers
        answers.append((*told(scores, labels, classes), seconds))
    return kept, answers


def _answers(scores, labels, output_classes):
    """Predicted classes, ranks of the labels, and the number of images with NaN."""
    output_of_class = np.zeros(output_classes.max() + 1, np.int64)
    named = output_classes != NO_CLASS
    output_of_class[output_classes[named]] = np.flatnonzero(named)
    nan = np.isnan(scores).any(axis=-1)
    predicted = np.where(nan, NO_CLASS, output_classes[np.argmax(scores, axis=-1)])
    return predicted, label_ranks(scores, output_of_class[labels]), int(nan.sum())


def _answers_of_classes(picked, labels, output_classes):
    """The same of the class alone: a label that is another stands behind it."""
    places = picked[:, 0].astype(np.int64)
    known = (places >= 0) & (places < len(output_classes))
    predicted = np.where(known, output_classes[np.where(known, places, 0)], NO_CLASS)
    return predicted, (predicted != labels).astype(np.int64), 0


def _joined(source, results, seconds):
    kept = [index for indices, _ in results for index in indices]
    if not kept:
        raise ValueError(f"None of the {len(source)} images is readable. Received: {source.name}")
    read = set(kept)
    models = [
        ModelAnswers(
            predicted=np.concatenate([answer[0] for answer in of_model]),
            label_ranks=np.concatenate([answer[1] for answer in of_model]),
            nan_images=sum(answer[2] for answer in of_model),
            seconds=sum(answer[3] for answer in of_model),
        )
        for of_model in zip(*(answers for _, answers in results), strict=True)
    ]
    unreadable = tuple(name for index, name in enumerate(source.item_names) if index not in read)
    return Answers(source.labels[kept], models, unreadable, seconds)
