"""How right maps of classes are: mean IoU and pixel accuracy, with intervals over images."""

import dataclasses
import math

import numpy as np

from care_keras.data.segmentation import VOID
from care_keras.metrics import bootstrap_interval


@dataclasses.dataclass(frozen=True)
class SegmentationFigures:
    """Shares from 0 to 1 over all pixels that are of a class.

    Attributes:
        mean_iou: Mean over the classes that occur, in labels or predictions; `None` if none does.
        pixel_accuracy: Share of the pixels that are right, likewise.
        per_class: IoU of each class, `None` of one that does not occur.
        images: How many images they are of.
    """

    mean_iou: float | None
    pixel_accuracy: float | None
    per_class: tuple[float | None, ...]
    images: int


class SegmentationEvaluation:
    """Counts pixels image by image; figures and intervals come of the counts.

    The figures are those of `keras.metrics.MeanIoU` with `ignore_class`.

    Args:
        classes: Number of classes.

    Attributes:
        confusion: int64 `(classes, classes)` over all images: a row for each class of the
            labels, a column for each that was predicted.
    """

    def __init__(self, classes: int):
        self.classes = classes
        self.confusion = np.zeros((classes, classes), np.int64)
        # Of each image all that IoU needs of its confusion: right, labelled, predicted.
        self._counts: list[np.ndarray] = []

    def add(self, labels: np.ndarray, predicted: np.ndarray) -> None:
        """Counts one image.

        Args:
            labels: uint8 `(height, width)`: classes, 255 where none is said.
            predicted: Integers of the same shape: classes. Where no class is said
                they are of no effect.

        Raises:
            ValueError: If the two do not fit, or hold what is no class.
        """
        if labels.shape != predicted.shape:
            raise ValueError(
                "A prediction must have its label's size. "
                f"Received: {predicted.shape} for {labels.shape}"
            )
        matrix = confusion_matrix(labels, predicted, self.classes)
        self.confusion += matrix
        self._counts.append(np.stack([np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)]))

    @property
    def images(self) -> int:
        """How many images were counted."""
        return len(self._counts)

    def figures(self) -> SegmentationFigures:
        """The figures of all images."""
        right, labelled, predicted = counts = self._all().sum(axis=0)
        union = labelled + predicted - right
        per_class = tuple(
            float(one / all_of_it) if all_of_it else None
            for one, all_of_it in zip(right, union, strict=True)
        )
        pixels = int(labelled.sum())
        mean = _mean_iou(counts)
        return SegmentationFigures(
            None if math.isnan(mean) else mean,
            float(right.sum() / pixels) if pixels else None,
            per_class,
            self.images,
        )

    def interval(self, resamples: int = 1000, seed: int = 0) -> tuple[float, float] | None:
        """95 % interval of mean IoU over images; see `bootstrap_interval`."""
        counts = self._all()
        return bootstrap_interval(
            lambda drawn: _mean_iou(np.tensordot(drawn, counts, 1)),
            self.images,
            resamples,
            seed,
            limits=(0.0, 1.0),
        )

    def difference_interval(
        self, other: "SegmentationEvaluation", resamples: int = 1000, seed: int = 0
    ) -> tuple[float, float] | None:
        """95 % interval of the other's mean IoU less this one's, on the same images.

        Raises:
            ValueError: If they counted different images, as far as the labels tell.
        """
        first, second = self._all(), other._all()
        if first.shape != second.shape or not np.array_equal(first[:, 1], second[:, 1]):
            raise ValueError(
                "A paired difference needs the same images in the same order. "
                f"Received: {self.images} and {other.images} images"
            )
        return bootstrap_interval(
            lambda drawn: (
                _mean_iou(np.tensordot(drawn, second, 1)) - _mean_iou(np.tensordot(drawn, first, 1))
            ),
            self.images,
            resamples,
            seed,
        )

    def _all(self):
        """int64 `(images, 3, classes)`."""
        return np.asarray(self._counts, np.int64).reshape(-1, 3, self.classes)


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """int64 `(classes, classes)`: how many pixels of each class were predicted as each.

    Args:
        labels: uint8 classes, 255 where none is said.
        predicted: Integers of the same shape.
        classes: Number of classes.

    Raises:
        ValueError: If either holds what is no class where one is said.
    """
    said = labels != VOID
    rows, columns = labels[said].astype(np.int64), predicted[said].astype(np.int64)
    for what, values in (("labels", rows), ("predictions", columns)):
        if values.size and not 0 <= values.min() <= values.max() < classes:
            raise ValueError(
                f"The {what} must be classes from 0 to {classes - 1}. "
                f"Received: {values.min()} to {values.max()}"
            )
    counts = np.bincount(rows * classes + columns, minlength=classes**2)
    return counts.reshape(classes, classes)


def _mean_iou(counts):
    """Of `(3, classes)`: right, labelled, predicted; NaN without any class."""
    right, labelled, predicted = counts
    union = labelled + predicted - right
    there = union > 0
    return float(np.mean(right[there] / union[there])) if there.any() else math.nan
