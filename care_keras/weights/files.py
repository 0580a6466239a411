"""From a checkpoint's file to a `.keras` file."""

import os
import pathlib

from care_keras.files import atomic_path
from care_keras.models.ablations import CONFIGS, names_of_models
from care_keras.weights.checkpoint import load_checkpoint
from care_keras.weights.summary import ImportSummary


def import_checkpoint(
    arch: str,
    checkpoint: str | os.PathLike,
    output: str | os.PathLike,
    classes: int | None = None,
) -> ImportSummary:
    """Turns a PyTorch checkpoint into a `.keras` file of a `CAREClassifier`.

    The model is of float32, not compiled, returns logits, takes images of any size
    and carries the config's preprocessing. The file is written whole or not at all.

    Args:
        arch: Name of the config, `"s0"`.
        checkpoint: The PyTorch checkpoint, see `load_checkpoint`.
        output: The `.keras` file to write, in a folder that exists.
        classes: Number of classes, by default the config's. If the checkpoint
            has another number, the backbone is taken from it and the heads are
            newly initialised; without `classes` that is an error.

    Returns:
        What was taken from the checkpoint.

    Raises:
        ValueError: If an argument is bad, or the checkpoint cannot be read or
            does not fit.
        MissingDependencyError: If the package that reads it is not installed.
        OSError: If a file cannot be opened or written.
    """
    if arch not in CONFIGS:
        raise ValueError(f"`arch` must be {names_of_models()}. Received: arch={arch!r}")
    if classes is not None and classes < 1:
        raise ValueError(f"`classes` must be positive. Received: classes={classes}")
    output = _checked_output(output)
    state_dict = load_checkpoint(checkpoint)
    # What builds a model loads Keras.
    from care_keras.models.build import build_network
    from care_keras.weights.importer import import_weights

    model, _ = build_network(
        CONFIGS[arch], classes=classes, classifier_activation=None, dtype="float32"
    )
    summary = import_weights(model, state_dict, new_heads=classes is not None)
    with atomic_path(output) as temporary:
        model.save(temporary)
    return summary


def _checked_output(output):
    """The output's path, refused before any work is done for it."""
    output = pathlib.Path(output)
    folder = output.parent
    if output.suffix != ".keras":
        problem = "The output must end in .keras"
    elif output.is_dir():
        problem = "The output is a folder"
    elif not folder.is_dir():
        problem = "The output's folder does not exist"
    elif not os.access(folder, os.W_OK | os.X_OK):
        problem = "The output's folder cannot be written to"
    else:
        return output
    raise ValueError(f"{problem}. Received: output={str(output)!r}")
