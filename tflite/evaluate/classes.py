"""What a model's outputs mean in terms of the classes that the data has."""

import math
import os
from collections.abc import Sequence

import numpy as np

from care_keras.files import read_bytes
from care_keras.shapes import shape_text
from tflite.evaluate.accuracy import NO_CLASS

MATCHES = ("exact", "subset", "index")
# Names that a message lists, at most.
_SHOWN = 3
_REMOVE = "rename or remove the folders that are no classes of the model"


def read_labels(path: str | os.PathLike) -> tuple[str, ...]:
    """Names of classes in the order of a model's outputs, one a line.

    Raises:
        ValueError: If the file cannot be read, is no text, or a line is empty but the last.
    """
    try:
        names = tuple(line.strip() for line in read_bytes(path).decode("utf-8-sig").splitlines())
    except UnicodeDecodeError as error:
        raise ValueError(f"The labels are no text. Received: {os.fspath(path)}") from error
    while names and not names[-1]:
        names = names[:-1]
    if not names or "" in names:
        where = f"line {names.index('') + 1} is empty" if names else "it is empty"
        raise ValueError(
            "The labels must be names of classes, one a line. "
            f"Received: {os.fspath(path)} ({where})"
        )
    return names


def output_classes(
    shape: Sequence[int | None], batch: int | None, path: str | os.PathLike, is_class: bool
) -> int:
    """Number of classes that an output of this shape has scores for; 0 of the class itself.

    Args:
        shape: Of the output.
        batch: Its first size.
        path: The model, for messages.
        is_class: Whether it holds plain integers.

    Raises:
        ValueError: If it is neither.
    """
    shape = tuple(shape)
    if is_class and shape[:1] == (batch,) and all(size == 1 for size in shape[1:]):
        return 0
    outputs = 0 if None in shape[1:] else math.prod(shape[1:])
    # Singleton axes are no matter; two others would be a map of classes, or no classes at all.
    wide = [size for size in shape[1:] if size != 1]
    if len(shape) < 2 or shape[0] != batch or len(wide) != 1 or outputs < 2:
        text = shape_text(shape)
        what = "integers" if is_class else "an output"
        raise ValueError(
            "The model must give a score for each class, (batch, classes), or the class as an "
            "integer, (batch,); of detectors and segmenters --task says it. "
            f"Received: {what} of {text} in {path}"
        )
    return outputs


def match_classes(
    model: str,
    outputs: int,
    labels: Sequence[str] | None,
    class_names: Sequence[str],
    match: str = "exact",
) -> np.ndarray:
    """The data's class for each output of a model.

    Where the model names its classes, they are matched by name; else output i
    is class i.

    Args:
        model: Name in messages.
        outputs: Number of the model's outputs.
        labels: Their names, or `None`.
        class_names: Names of the data's classes.
        match: `"exact"`, the same names, in whatever order; `"subset"`, all of
            the data's names are among the model's; `"index"`, names are not
            looked at.

    Returns:
        int64 array `(outputs,)`: an index into `class_names`, `NO_CLASS` for a
        class that the data lacks.

    Raises:
        ValueError: If they do not fit.
    """
    if labels is not None and len(labels) != outputs:
        raise ValueError(
            "The model's labels must name each of its classes. "
            f"Received: {len(labels)} labels for the {outputs} outputs of {model}"
        )
    if labels is None or match == "index":
        if outputs != len(class_names):
            way_out = "--label_match=subset matches them by name"
            if labels is not None and (unknown := _unknown(labels, class_names)):
                way_out = f"{_REMOVE}, {_list(unknown)}"
            if labels is None:
                way_out = "--labels=FILE names the model's, one a line, to be matched by name"
                if outputs > len(class_names):
                    way_out += ", with --label_match=subset, as the data has fewer"
            raise ValueError(
                f"The model's outputs are not the data's classes, by their number: {way_out}. "
                f"Received: {outputs} outputs of {model} for {len(class_names)} classes"
            )
        return np.arange(outputs)
    if tuple(labels) == tuple(class_names):
        return np.arange(outputs)
    _check_names(model, labels, class_names, match)
    index = {name: i for i, name in enumerate(class_names)}
    return np.asarray([index.get(label, NO_CLASS) for label in labels], np.int64)


def _check_names(model, labels, class_names, match):
    for names, whose in ((labels, f"labels of {model}"), (class_names, "classes of the data")):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                "Classes cannot be matched by name where two have the same one; "
                f"--label_match=index takes them in their order. Received: {_list(twice)} twice "
                f"in the {whose}"
            )
    unknown = _unknown(labels, class_names)
    if unknown:
        alike = len(class_names) == len(labels)
        way_out = "--label_match=index takes them in their order" if alike else _REMOVE
        raise ValueError(
            f"The model does not know all of the data's classes, by name; {way_out}. Received: "
            f"{len(class_names)} classes, {len(labels)} labels of {model} without {_list(unknown)}"
        )
    missing = [label for label in labels if label not in set(class_names)]
    if missing and match == "exact":
        raise ValueError(
            "The data lacks some of the model's classes; --label_match=subset accepts that. "
            f"Received: {len(class_names)} classes without {_list(missing)} of the "
            f"{len(labels)} labels of {model}"
        )


def _unknown(labels, class_names):
    known = set(labels)
    return [name for name in class_names if name not in known]


def _list(names):
    text = ", ".join(repr(name) for name in names[:_SHOWN])
    return text + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
