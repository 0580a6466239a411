"""Metadata and labels inside the file of an image classifier, for MediaPipe Tasks."""

import pathlib
from collections.abc import Sequence

from care_keras.convert.meaning import scores_in_words
from care_keras.data.record import Preprocessing
from care_keras.tflite_file.metadata import with_metadata
from care_keras.tflite_file.reader import read_graph
from care_keras.tflite_file.records import Tensor
from care_keras.tflite_file.task_metadata import (
    ENTRY,
    LABELS_FILE,
    ImageClassifier,
    classifier_metadata,
    with_associated_files,
)


class NotAClassifierError(ValueError):
    """A file that cannot be described as a classifier of images."""

    def of(self, model: str) -> ValueError:
        """The error of who asked for it, with what was converted."""
        return ValueError(f"Metadata are for a classifier of images: {self}. Received: {model=!r}")


def with_task_metadata(
    content: bytes,
    model: str,
    preprocessing: Preprocessing | None,
    labels: Sequence[str] | None,
    activation: str | None,
) -> bytes:
    """The file of an image classifier with metadata and labels.

    Args:
        content: The file.
        model: Preset or path of what was converted.
        preprocessing: How images are prepared for it, where it does not take
            pixels; `None` if that is not known.
        labels: Names of the classes, or `None`.
        activation: Name of the output's activation, or `None` if unknown.

    Raises:
        NotAClassifierError: If it is not from one image to one score for each
            label.
    """
    graph = read_graph(content)
    image, scores = _one("input", graph.inputs), _one("output", graph.outputs)
    if preprocessing is None:
        raise NotAClassifierError("how images become its input is not known: give --mean and --std")
    if image.dtype not in ("uint8", "float32"):
        raise NotAClassifierError(f"its input is {image.dtype}: take --input=rgb_uint8")
    if image.shape[0] != 1 or scores.shape[:1] != (1,) or len(scores.shape) != 2:
        raise NotAClassifierError(
            "it takes one image to one score for each class, and this file takes "
            f"{list(image.shape)} to {list(scores.shape)}"
        )
    require_labels(labels)
    if len(labels) != scores.shape[1]:
        raise NotAClassifierError(
            f"it has {scores.shape[1]} outputs and {len(labels)} names of classes"
        )
    if broken := [one for one in labels if "\n" in one or not one.strip()]:
        raise NotAClassifierError(f"a class is named {broken[0]!r}: labels.txt has a name a line")
    mean, std = _in_pixels(image, preprocessing)
    name = pathlib.Path(model).stem
    described = classifier_metadata(
        ImageClassifier(
            name=name,
            description=f"{name}, an image classifier of {len(labels)} classes",
            labels=tuple(labels),
            mean=mean,
            std=std,
            scores=scores_in_words(activation),
        )
    )
    written = with_metadata(content, {ENTRY: described})
    return with_associated_files(written, {LABELS_FILE: "".join(f"{one}\n" for one in labels)})


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
    if scores.dtype == "int8":
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
