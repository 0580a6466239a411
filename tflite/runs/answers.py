"""What an app reads out of a file's outputs, for two runs to be held against each other."""

import abc
import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from care_keras.detection.postprocessing import detections, iou
from care_keras.litert.tensor import TensorInfo, outputs_of
from care_keras.tflite_file import Graph
from tflite.inputs.records import ModelInput
from tflite.inputs.task_outputs import check_anchors, task_anchors, task_outputs

# Boxes that an app shows, and of which two are of one object.
SHOWN_SCORE, _SAME_BOX = 0.3, 0.5


class Answers(abc.ABC):
    """What a file is for.

    Attributes:
        heading: Of a column with the share of answers that two runs have in common.
    """

    heading: str

    @abc.abstractmethod
    def same(
        self, first: Sequence[np.ndarray], second: Sequence[np.ndarray]
    ) -> tuple[float, float]:
        """How many answers two runs have in common on one image, and how many there are.

        Args:
            first: All outputs of the file, `(batch, ...)`, in their own types.
            second: Those of the other run.
        """

    def read(self, outputs: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> list:
        """What of the outputs for one image is looked at, as arrays: by default all.

        Args:
            outputs: All outputs, in their own types.
            reference: Those of the run that is held to be right, which says what counts.
        """
        return list(outputs)


@dataclasses.dataclass(frozen=True)
class Classes(Answers):
    """The class of the greatest score: of an image, or of each pixel.

    Attributes:
        place: Which output has the scores, on its last axis.
        heading: See `Answers`.
    """

    place: int
    heading: str

    def same(self, first, second):
        picked = [np.argmax(one[self.place], axis=-1) for one in (first, second)]
        return float(np.sum(picked[0] == picked[1])), float(picked[0].size)


@dataclasses.dataclass(frozen=True, eq=False)
class Boxes(Answers):
    """Boxes and their classes, as an app shows them.

    Two are the same if they are of one class and overlap by half of what both cover.

    Attributes:
        places: Which outputs are location and score.
        tensors: Those outputs.
        anchors: `(anchors, 4)` in pixels of the input.
        size: Height and width of the input.
    """

    places: tuple[int, int]
    tensors: tuple[TensorInfo, TensorInfo]
    anchors: np.ndarray
    size: tuple[int, int]
    heading: str = "same boxes"

    def same(self, first, second):
        one, other = self._found(first), self._found(second)
        return 2.0 * _pairs(one, other), float(len(one[0]) + len(other[0]))

    def read(self, outputs, reference):
        """Of locations those of the boxes that the reference shows: others are of nothing."""
        place, of_score = self.places
        score = self.tensors[1].dequantize(reference[of_score])
        shown = score.max(axis=-1) > SHOWN_SCORE
        return [one[shown] if i == place else one for i, one in enumerate(outputs)]

    def _found(self, outputs):
        location, score = (
            tensor.dequantize(outputs[place][0])
            for place, tensor in zip(self.places, self.tensors, strict=True)
        )
        # Another runtime's outputs may be anything.
        with np.errstate(over="ignore", invalid="ignore"):
            boxes, _, labels = detections(
                location, score, self.anchors, self.size, score_threshold=SHOWN_SCORE
            )
        whole = np.isfinite(boxes).all(axis=1)
        return boxes[whole], labels[whole]


def _pairs(one, other):
    """How many boxes of one run have one of the other to themselves, the best ones first."""
    free, pairs = np.ones(len(other[0]), bool), 0
    for box, label in zip(*one, strict=True):
        overlaps = np.where(free & (other[1] == label), iou(box, other[0]), 0.0)
        if len(overlaps) and overlaps.max() >= _SAME_BOX:
            free[overlaps.argmax()] = False
            pairs += 1
    return pairs


def answers_of(
    graph: Graph, path: str | os.PathLike, model_input: ModelInput | None
) -> Answers | None:
    """What a file's outputs are read for.

    Args:
        graph: The file.
        path: Where it lies, for messages.
        model_input: What its JSON says; without it, or where that says no task, a single
            output of more than one value has scores on its last axis.

    Returns:
        `None` where nothing says it: of several outputs, or a single value.

    Raises:
        ValueError: If the outputs are not what the task says.
    """
    task = ((model_input and model_input.task) or {}).get("name")
    tensors = outputs_of(graph)
    names = list(tensors)
    shapes = {name: one.shape for name, one in tensors.items()}
    if task == "detection":
        chosen = task_outputs(task, shapes, None, path)
        anchors = task_anchors(model_input, path, "the JSON beside it")
        check_anchors(anchors, [shapes[name] for name in chosen], path)
        record = model_input.preprocessing
        return Boxes(
            tuple(names.index(name) for name in chosen),
            tuple(tensors[name] for name in chosen),
            anchors,
            (record.height, record.width),
        )
    if task == "segmentation":
        (name,) = task_outputs(task, shapes, None, path)
        return Classes(names.index(name), "pixels of one class")
    if len(tensors) != 1 or not (shape := shapes[names[0]]) or shape[-1] < 2:
        return None
    return Classes(0, "same class" if len(shape) == 2 else "pixels of one class")


def agreement(
    answers: Answers | None,
    pairs: Sequence[tuple[Sequence[np.ndarray], Sequence[np.ndarray]]],
) -> float | None:
    """Share of answers that two runs have in common, 0 to 1; `None` without any.

    Args:
        answers: What the file is for.
        pairs: For each image the outputs of both runs.
    """
    if answers is None:
        return None
    counts = [answers.same(first, second) for first, second in pairs]
    same, total = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0)
    return same / total if total else None
