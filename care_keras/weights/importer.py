"""Assigns a PyTorch state dict to a Keras model, all of it or nothing."""

import math
from collections.abc import Mapping

import numpy as np

from care_keras.models.care_classifier import CAREClassifier
from care_keras.weights.checkpoint import is_floating
from care_keras.weights.names import Entry, checkpoint_entries
from care_keras.weights.summary import ImportSummary


def import_weights(
    model: CAREClassifier, state_dict: Mapping[str, np.ndarray], new_heads: bool = False
) -> ImportSummary:
    """Fills a classifier with the arrays of a PyTorch state dict.

    Everything is checked before the first array is assigned: on an error the
    model is as it was.

    Args:
        model: The classifier, of the checkpoint's architecture.
        state_dict: Arrays by their PyTorch name and in PyTorch's layout, as
            `load_checkpoint` returns them; `num_batches_tracked` is ignored.
        new_heads: If true, a checkpoint of another class count is accepted:
            the model's heads then stay as they are. If the counts are equal
            it has no effect.

    Returns:
        What was assigned.

    Raises:
        ValueError: If entries are missing, unexpected, of another shape, no
            floating-point numbers or not finite; one error names them all.
    """
    if not isinstance(model, CAREClassifier):
        raise ValueError(
            f"`model` must be a CAREClassifier. Received: model={model} ({type(model).__name__})"
        )
    entries = checkpoint_entries(model)
    arrays = {
        name: np.asarray(value)
        for name, value in state_dict.items()
        if not name.endswith("num_batches_tracked")
    }
    classes = _class_count(entries, arrays)
    other_classes = classes is not None and classes != model.classes
    skip_heads = other_classes and new_heads
    problems = _problems(entries, arrays, classes if skip_heads else model.classes)
    if problems:
        hint = ""
        if other_classes and not new_heads:
            hint = (
                f" (the checkpoint has {classes} classes, the model {model.classes}: "
                f"--classes={classes} takes its heads too, any other --classes starts new ones)"
            )
        raise ValueError(
            f"{len(problems)} entries do not fit {model.name}{hint}: {'; '.join(problems)}. "
            f"Received: {len(arrays)} entries"
        )
    taken = [entry for entry in entries if not (skip_heads and entry.is_head)]
    for entry in taken:
        entry.variable.assign(entry.to_keras(arrays[entry.name].astype(np.float32)))
    statistics = sum(
        math.prod(entry.shape)
        for entry in taken
        if entry.name.endswith(("running_mean", "running_var"))
    )
    return ImportSummary(
        arrays=len(taken),
        parameters=sum(math.prod(entry.shape) for entry in taken) - statistics,
        statistics=statistics,
        new_heads=skip_heads,
    )


def _class_count(entries: list[Entry], arrays) -> int | None:
    """The class count that the checkpoint's dense layers agree on, if they do."""
    counts = {
        arrays[entry.name].shape[0] if arrays[entry.name].ndim else None
        for entry in entries
        if entry.is_classes_first and entry.name in arrays
    }
    return counts.pop() if len(counts) == 1 else None


def _problems(entries: list[Entry], arrays, classes) -> list[str]:
    """What is wrong with each entry, of a checkpoint that should have `classes` classes."""
    problems = []
    for entry in entries:
        shape = (classes, *entry.shape[1:]) if entry.is_classes_first else entry.shape
        array = arrays.get(entry.name)
        if array is None:
            problems.append(f"missing {entry.name} (expected {shape}, found none)")
        elif array.shape != shape:
            problems.append(f"mis-shaped {entry.name} (expected {shape}, found {array.shape})")
        elif not is_floating(array):
            problems.append(f"not floating-point {entry.name} (found {array.dtype})")
        else:
            with np.errstate(over="ignore"):
                wrong = array.size - int(np.isfinite(array.astype(np.float32)).sum())
            if wrong:
                problems.append(
                    f"not finite {entry.name} ({wrong} of {array.size} values are NaN or infinite)"
                )
    expected = {entry.name for entry in entries}
    for name, array in arrays.items():
        if name not in expected:
            problems.append(f"unexpected {name} (expected none, found {array.shape})")
    return problems
