"""Metadata and labels inside the file of a classifier, detector or segmenter, for MediaPipe."""

import pathlib
from collections.abc import Sequence

import numpy as np

from care_keras.convert.meaning import scores_in_words
from care_keras.data.record import Preprocessing
from care_keras.detection.anchors import LOCATION_SCALES, Anchors
from care_keras.segmentation.postprocessing import class_colors
from care_keras.tflite_file.metadata import with_metadata
from care_keras.tflite_file.reader import read_graph
from care_keras.tflite_file.records import Tensor
from care_keras.tflite_file.task_metadata import (
    DETECTOR_OPTIONS,
    ENTRY,
    LABELS_FILE,
    SEGMENTER_OPTIONS,
    ImageTask,
    Output,
    detector_options,
    segmenter_options,
    task_metadata,
    with_associated_files,
)


class NotAClassifierError(ValueError):
    """A file that cannot be described as a classifier of images, a detector or a segmenter."""

    def of(self, model: str) -> ValueError:
        """The error of who asked for it, with what was converted."""
        return ValueError(
            "Metadata are for classifiers of images, detectors and segmenters: "
            f"{self}. Received: {model=!r}"
        )


def with_task_metadata(
    content: bytes,
    model: str,
    preprocessing: Preprocessing | None,
    labels: Sequence[str] | None,
    activation: str | None,
    task: dict | None = None,
) -> bytes:
    """The file of an image classifier, a detector or a segmenter with metadata and labels.

    Args:
        content: The file.
        model: Preset or path of what was converted.
        preprocessing: How images are prepared for it, where it does not take
            pixels; `None` if that is not known.
        labels: Names of the classes, or `None`.
        activation: Name of the output's activation, or `None` if unknown.
        task: What the outputs are, see `task_of`; `None` of a classifier.

    Raises:
        NotAClassifierError: If it is not from one image to what its task says,
            for a classifier one score for each label.
    """
    graph = read_graph(content)
    image = _one("input", graph.inputs)
    if preprocessing is None:
        raise NotAClassifierError("how images become its input is not known: give --mean and --std")
    if image.dtype not in ("uint8", "float32"):
        raise NotAClassifierError(f"its input is {image.dtype}: take --input=rgb_uint8")
    if image.shape[0] != 1:
        raise NotAClassifierError(f"it takes one image, and this file takes {list(image.shape)}")
    kind = task["name"] if task else "classification"
    if kind not in _OUTPUTS:
        raise NotAClassifierError(f"its task is {kind}")
    outputs, custom, classes = _OUTPUTS[kind](graph, task, activation)
    require_labels(labels)
    if len(labels) != classes:
        raise NotAClassifierError(f"it has {classes} outputs and {len(labels)} names of classes")
    if broken := [one for one in labels if "\n" in one or not one.strip()]:
        raise NotAClassifierError(f"a class is named {broken[0]!r}: labels.txt has a name a line")
    mean, std = _in_pixels(image, preprocessing)
    name = pathlib.Path(model).stem
    described = task_metadata(
        ImageTask(
            name=name,
            description=f"{name}, {_KINDS[kind]} of {len(labels)} classes",
            mean=mean,
            std=std,
            outputs=outputs,
            custom=custom,
        )
    )
    files = {LABELS_FILE: "".join(f"{one}\n" for one in labels)}
    if kind == "segmentation":
        rows = zip(class_colors(classes).tolist(), labels, strict=True)
        files[_COLORS_FILE] = "".join(f"{r} {g} {b} {one}\n" for (r, g, b), one in rows)
    return with_associated_files(with_metadata(content, {ENTRY: described}), files)


def _classifier_outputs(graph, task, activation):
    scores = _one("output", graph.outputs)
    if scores.shape[:1] != (1,) or len(scores.shape) != 2:
        raise NotAClassifierError(
            "it takes one image to one score for each class, and this file takes "
            f"{list(graph.inputs[0].shape)} to {list(scores.shape)}"
        )
    output = Output("scores", scores_in_words(activation), is_labelled=True)
    return (output,), {}, scores.shape[1]


def _detector_outputs(graph, task, activation):
    anchors, size = Anchors.from_dict(task["anchors"]), graph.inputs[0].shape[1:3]
    boxes = anchors.boxes(size)
    shapes = [tuple(one.shape) for one in graph.outputs]
    if len(shapes) != 2 or shapes[0] != (1, len(boxes), 4) or shapes[1][:2] != shapes[0][:2]:
        raise NotAClassifierError(
            f"a detector of {len(boxes)} anchors gives a location and scores for each, and this "
            f"file gives {', '.join(str(list(shape)) for shape in shapes)}"
        )
    classes = shapes[1][2]
    relative = boxes / np.tile(np.asarray(size, np.float32), 2)
    outputs = (
        Output("location", "The locations of the boxes, by their anchors.", is_boxes=True),
        Output("score", "The scores of the boxes.", is_labelled=True),
    )
    options = detector_options(relative, classes, LOCATION_SCALES)
    return outputs, {DETECTOR_OPTIONS: options}, classes


def _segmenter_outputs(graph, task, activation):
    logits = _one("output", graph.outputs)
    if len(logits.shape) != 4:
        raise NotAClassifierError(
            f"a segmenter gives a map of logits, and this file {list(logits.shape)}"
        )
    output = Output("segmentation_masks", "Logits of each class.", is_labelled=True)
    return (output,), {SEGMENTER_OPTIONS: segmenter_options()}, logits.shape[3]


_OUTPUTS = {
    "classification": _classifier_outputs,
    "detection": _detector_outputs,
    "segmentation": _segmenter_outputs,
}
_KINDS = {
    "classification": "an image classifier",
    "detection": "an object detector",
    "segmentation": "an image segmenter",
}
_COLORS_FILE = "colors.txt"


def require_labels(labels: Sequence[str] | None) -> None:
    """Raises NotAClassifierError for classes without names."""
    if labels is None:
        raise NotAClassifierError(
            "the model does not name its classes: set `model.labels`, or take a folder of class "
            "folders for --calibration"
        )


def what_mediapipe_refuses(content: bytes, preprocessing: Preprocessing) -> str | None:
    """Why MediaPipe Tasks does not run a file that has metadata, or `None` if it does.

    Its own errors, of 1.2.3: "The output tensor must be UINT8, FLOAT32 or BOOL" and
    "Per-channel image normalization is not available".
    """
    graph = read_graph(content)
    image, scores = graph.inputs[0], graph.outputs[0]
    # A map of logits may be.
    if scores.dtype == "int8" and len(scores.shape) != 4:
        return "MediaPipe takes no int8 outputs: add --output_type=uint8"
    mean, std = _in_pixels(image, preprocessing)
    if len(set(mean)) > 1 or len(set(std)) > 1:
        return "MediaPipe takes one mean and std for all channels: add --input=rgb_uint8"
    return None


def _one(kind: str, tensors: Sequence[Tensor]) -> Tensor:
    if len(tensors) != 1:
        raise NotAClassifierError(f"it has {len(tensors)} {kind}s")
    return tensors[0]


def _in_pixels(image, preprocessing):
    """Mean and std that a reader normalizes pixels from 0 to 255 with."""
    if image.dtype == "uint8":
        return (0.0,) * preprocessing.channels, (1.0,) * preprocessing.channels
    return tuple(tuple(255 * one for one in two) for two in (preprocessing.mean, preprocessing.std))
