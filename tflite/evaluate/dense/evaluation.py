"""Detectors or segmenters on the same images: what the command does, without its flags."""

import dataclasses
import time
from collections.abc import Sequence

import numpy as np

from care_keras.console.progress import progress
from care_keras.data.sources import Source
from tflite.evaluate.classes import match_classes
from tflite.evaluate.dense.models import DenseModel
from tflite.evaluate.dense.run import ImageAnswers, run_models
from tflite.evaluate.dense.task import DenseTask

# Images that a picture shows.
_SHOWN = 8

Interval = tuple[float, float] | None


@dataclasses.dataclass(frozen=True, eq=False)
class DenseEvaluation:
    """All that came of an evaluation.

    Attributes:
        task: What was evaluated.
        data: Name of the images.
        class_names: Names of their classes.
        class_counts: int64 `(classes,)`: objects or pixels of each.
        models: What was evaluated.
        figures: Of each model `AveragePrecision` or `SegmentationFigures`.
        intervals: 95 % interval of each model's main figure over images.
        differences: Of each later model, its main figure less that of the first.
        difference_intervals: Their 95 % intervals.
        confusion: Of segmentation, the confusion matrix of each model; else empty.
        nan_images: Images for which each model gives values that are not finite.
        model_seconds: Time spent in each model, of all workers together.
        seconds: Wall time, decoding included.
        unreadable: Names of the images that were left out.
        shown: Answers of a few images, for a picture.
    """

    task: DenseTask
    data: str
    class_names: tuple[str, ...]
    class_counts: np.ndarray
    models: tuple[DenseModel, ...]
    figures: tuple
    intervals: tuple[Interval, ...]
    differences: tuple[float | None, ...]
    difference_intervals: tuple[Interval, ...]
    confusion: tuple[np.ndarray, ...]
    nan_images: tuple[int, ...]
    model_seconds: tuple[float, ...]
    seconds: float
    unreadable: tuple[str, ...]
    shown: tuple[ImageAnswers, ...]

    @property
    def images(self) -> int:
        """Images that were read."""
        return self.figures[0].images

    @property
    def images_per_second(self) -> float:
        """Of the whole pass: decoding, all models, all workers."""
        return self.images / self.seconds

    def model_images_per_second(self, index: int) -> float:
        """Of one model in one worker, without decoding and without the others."""
        return self.images / self.model_seconds[index]

    def figure(self, index: int) -> float | None:
        """The main figure of one model."""
        return getattr(self.figures[index], self.task.figure)


def evaluate_dense(
    source: Source,
    task: DenseTask,
    models: Sequence[DenseModel],
    workers: int = 1,
    label_match: str = "exact",
    skip_unreadable: bool = False,
) -> DenseEvaluation:
    """Evaluates models in one pass over images.

    Args:
        source: Images of the task's kind.
        task: The task.
        models: From `open_dense_models`.
        workers: Threads that images are spread over.
        label_match: How classes are matched, see `match_classes`.
        skip_unreadable: Leave images out that cannot be read.

    Raises:
        ValueError: If the classes are not a model's, an image cannot be read, or
            a model fails to run.
    """
    names = source.class_names
    matches = [
        match_classes(model.name, model.classes, model.input.labels, names, label_match)
        for model in models
    ]
    tally = task.tally(len(names), len(models))
    chosen = set(np.linspace(0, len(source) - 1, _SHOWN).astype(int).tolist())
    finite, seconds, shown, read = [], [], [], []
    answers = run_models(source, task, models, matches, workers, skip_unreadable)
    started = time.monotonic()
    for one in answers:
        if one.known is None:
            continue
        read.append(one.index)
        tally.add(one.known, one.answers)
        finite.append(one.finite)
        seconds.append(one.seconds)
        if one.index in chosen:
            shown.append(one)
    wall = time.monotonic() - started
    if not read:
        raise ValueError(f"None of the {len(source)} images is readable. Received: {source.name}")
    evaluations = tally.evaluations(source.take(read, source.name))
    intervals, differences = _intervals(evaluations)
    figures = [one.figures() if callable(one.figures) else one.figures for one in evaluations]
    mains = [getattr(one, task.figure) for one in figures]
    left_out = sorted(set(range(len(source))) - set(read))
    return DenseEvaluation(
        task,
        source.name,
        names,
        tally.class_counts(),
        tuple(models),
        tuple(figures),
        intervals,
        tuple(None if None in (one, mains[0]) else one - mains[0] for one in mains[1:]),
        differences,
        tuple(one.confusion for one in evaluations if hasattr(one, "confusion")),
        tuple(int(count) for count in np.sum(~np.array(finite), axis=0)),
        tuple(float(total) for total in np.sum(seconds, axis=0)),
        wall,
        tuple(source.item_names[index] for index in left_out),
        tuple(shown),
    )


def _intervals(evaluations):
    """Of each evaluation, and of what each later one differs by from the first."""
    first, own, differences = evaluations[0], [], []
    for one in progress(evaluations, "drawing images anew, model"):
        own.append(one.interval())
        if one is not first:
            differences.append(first.difference_interval(one))
    return tuple(own), tuple(differences)
