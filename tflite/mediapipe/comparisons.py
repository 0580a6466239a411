"""MediaPipe's answers beside LiteRT's, for each task that both have."""

import abc
import dataclasses
import math
from typing import ClassVar

import numpy as np

from care_keras.detection.postprocessing import decode, iou
from care_keras.metrics import relative_difference, top1_agreement
from care_keras.segmentation.postprocessing import class_map
from tflite.inputs.task_outputs import check_anchors, task_anchors, task_outputs
from tflite.mediapipe.litert import OnImages
from tflite.mediapipe.run import run_in_mediapipe
from tflite.runs.answers import SHOWN_SCORE

_BOX_PIXELS = 1.0
# Logits of two classes that are equal but for rounding.
_SAME_PIXELS = 0.999
# What MediaPipe's ObjectDetector suppresses boxes at, whatever their classes; computed elsewhere
# it may be a little less.
_SUPPRESSED_IOU, _ROUNDING = 0.3, 1e-3
# From this difference of scores on it is another box.
_OTHER_SCORE = 0.01


@dataclasses.dataclass(frozen=True)
class Comparison(abc.ABC):
    """One file.

    Attributes:
        name: Its name.
        images: How many it was run on.
        labels: Whether MediaPipe found the names of the classes.
        version: MediaPipe's.
        headers: Of its columns in the table.
    """

    name: str
    images: int
    labels: bool
    version: str
    headers: ClassVar[tuple[str, ...]]

    @classmethod
    @abc.abstractmethod
    def of(cls, litert: OnImages, timeout_seconds: float) -> "Comparison":
        """Runs a file in MediaPipe.

        Args:
            litert: The file and what LiteRT gives.
            timeout_seconds: For all of it.

        Raises:
            RefusedError: If MediaPipe does not take it.
            ValueError: If its outputs are not of the task.
        """

    @property
    @abc.abstractmethod
    def cells(self) -> list:
        """Its row."""

    @abc.abstractmethod
    def failure(self, tolerance: float) -> str | None:
        """In words what is not as in LiteRT; `tolerance` is of scores, of the largest."""


@dataclasses.dataclass(frozen=True)
class Classes(Comparison):
    """ImageClassifier.

    Attributes:
        same: Share of the images of which both pick one class.
        difference: Largest difference of two scores, in units of the largest.
        right: Share of the labels that each gets right, MediaPipe and LiteRT; `None` where
            the images' classes are not the model's.
    """

    same: float
    difference: float
    right: tuple[float, float] | None
    headers = ("same class", "scores differ by", "top-1, MediaPipe", "top-1, LiteRT")

    @classmethod
    def of(cls, litert, timeout_seconds):
        shapes = {name: values.shape for name, values in litert.values.items()}
        if len(shapes) != 1 or len(*shapes.values()) != 2:
            listed = ", ".join(str(list(shape)) for shape in shapes.values())
            raise ValueError(
                "The model must give a score for each class, (1, classes), or say its task in "
                f"the JSON beside it. Received: outputs {listed} of {litert.path}"
            )
        (expected,) = litert.values.values()
        given, answer = run_in_mediapipe("classification", litert, timeout_seconds)
        if given.shape != expected.shape:
            raise ValueError(
                f"MediaPipe gives {given.shape[1]} scores and LiteRT {expected.shape[1]}. "
                f"Received: {litert.path}"
            )
        right = None
        if litert.labels is not None:
            right = tuple(
                float(np.mean(one.argmax(1) == litert.labels)) for one in (given, expected)
            )
        return cls(
            litert.path.name,
            len(expected),
            any(answer["labels"]),
            answer["version"],
            top1_agreement(given, expected),
            relative_difference(expected, given.astype(expected.dtype)),
            right,
        )

    @property
    def cells(self):
        right = (None, None) if self.right is None else (f"{share:.2%}" for share in self.right)
        return [f"{self.same:.2%}", f"{self.difference:.1e}", *right]

    def failure(self, tolerance):
        if self.same == 1 and self.difference <= tolerance:
            return None
        return f"{self.same:.2%} same class, scores differ by {self.difference:.2g}"


@dataclasses.dataclass(frozen=True)
class Boxes(Comparison):
    """ObjectDetector.

    Attributes:
        boxes: How many MediaPipe found.
        pixels: Of each the largest distance of an edge to that of the nearest box of its
            class and score that the outputs hold, the largest of all; 0 without any.
        missed: How many the outputs hold besides that none of those suppresses.
        difference: Largest difference of scores.
    """

    boxes: int
    pixels: float
    missed: int
    difference: float
    headers = ("boxes", "missed", "edges differ by", "scores differ by")

    @classmethod
    def of(cls, litert, timeout_seconds):
        path = litert.path
        shapes = {name: one.shape for name, one in litert.tensors.items()}
        names = task_outputs("detection", shapes, None, path)
        anchors = task_anchors(litert.model_input, path, "the JSON beside it")
        check_anchors(anchors, [shapes[name] for name in names], path)
        found, answer = run_in_mediapipe(
            "detection", litert, timeout_seconds, score_threshold=SHOWN_SCORE
        )
        labels = litert.model_input.labels or ()
        places = np.array([_class_of(name, labels) for name in answer["labels"]], np.int64)
        pixels = difference = 0.0
        missed = 0
        for image in range(len(litert.pixels)):
            location, score = (litert.values[name][image] for name in names)
            boxes = decode(location, anchors)
            rows = found[found[:, 0] == image]
            given = zip(rows[:, 1:5], rows[:, 5], places[rows[:, 6].astype(int)], strict=True)
            taken = [_nearest(boxes, score, *one) for one in given]
            for _, apart, of_score in taken:
                pixels, difference = max(pixels, apart), max(difference, of_score)
            missed += _missed(boxes, score.max(axis=1), [place for place, *_ in taken])
        return cls(
            path.name,
            len(litert.pixels),
            set(answer["labels"]) <= set(labels) and bool(labels),
            answer["version"],
            len(found),
            pixels,
            missed,
            difference,
        )

    @property
    def cells(self):
        return [self.boxes, self.missed, f"{self.pixels:.3g} px", f"{self.difference:.1e}"]

    def failure(self, tolerance):
        if self.pixels > _BOX_PIXELS:
            return f"boxes differ by {self.pixels:.3g} pixels"
        if self.difference > tolerance:
            return f"scores differ by {self.difference:.2g}"
        return f"{self.missed} boxes are missed" if self.missed else None


def _nearest(boxes, score, box, value, label):
    """Which of an image's boxes one of MediaPipe's is, and how far from it and from its score.

    Only boxes of its class count, and of its score, as far as that is rounding.
    """
    of_score = np.abs(score[:, label] - value)
    alike = (score.argmax(axis=1) == label) & (of_score < _OTHER_SCORE)
    apart = np.where(alike, np.abs(_whole_pixels(boxes) - box).max(axis=1), math.inf)
    place = int(apart.argmin())
    return place, float(apart[place]), float(of_score[place])


def _missed(boxes, scores, taken):
    """How many boxes of an image are neither among those given nor suppressed by one of them.

    Boxes of all classes suppress one another there; which of two of one score is left is open.
    """
    missed = 0
    for place in np.flatnonzero(scores > SHOWN_SCORE):
        better = [one for one in taken if scores[one] >= scores[place]]
        if place not in taken:
            overlaps = iou(boxes[place], boxes[better])
            missed += not (overlaps > _SUPPRESSED_IOU - _ROUNDING).any()
    return missed


def _whole_pixels(boxes):
    """As MediaPipe gives them: whole pixels, corners inside the image, sizes as before that."""
    corners = np.trunc(boxes[:, :2].clip(0))
    return np.concatenate([corners, corners + np.trunc(boxes[:, 2:] - boxes[:, :2])], axis=1)


def _class_of(name, labels):
    if name in labels:
        return labels.index(name)
    return int(name.removeprefix("class "))


@dataclasses.dataclass(frozen=True)
class Pixels(Comparison):
    """ImageSegmenter, which enlarges logits from corner to corner.

    Attributes:
        same: Share of the images' pixels that both give one class.
        classes: How many classes LiteRT's pixels have.
    """

    same: float
    classes: int
    headers = ("pixels of one class", "classes found")

    @classmethod
    def of(cls, litert, timeout_seconds):
        shapes = {name: one.shape for name, one in litert.tensors.items()}
        (name,) = task_outputs("segmentation", shapes, None, litert.path)
        given, answer = run_in_mediapipe("segmentation", litert, timeout_seconds)
        expected = np.stack(
            [class_map(one, litert.size, align_corners=True) for one in litert.values[name]]
        )
        return cls(
            litert.path.name,
            len(expected),
            any(answer["labels"]),
            answer["version"],
            float(np.mean(given == expected)),
            len(np.unique(expected)),
        )

    @property
    def cells(self):
        return [f"{self.same:.3%}", self.classes]

    def failure(self, tolerance):
        return None if self.same >= _SAME_PIXELS else f"{self.same:.3%} of the pixels of one class"


COMPARISONS = {None: Classes, "detection": Boxes, "segmentation": Pixels}
