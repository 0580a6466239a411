"""What an evaluation says on stderr, whatever models are for."""

import sys
from collections.abc import Sequence

from care_keras.litert.model import runtime_version
from tflite.evaluate.opened import OpenedModel


def warn(text: str) -> None:
    """One line on stderr."""
    print(f"warning: {text}", file=sys.stderr)


def warn_of_unreadable(names: Sequence[str]) -> None:
    """Says which images were left out, if any."""
    if names:
        listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        warn(f"left out {len(names)} unreadable images: {listed}")


def warn_of_input(model: OpenedModel, class_names: tuple[str, ...], label_match: str) -> None:
    """Says what is assumed of a model's inputs and classes.

    Args:
        model: The model.
        class_names: The data's classes.
        label_match: How they were matched.
    """
    if model.other_inputs:
        warn(
            f"{model.name} is fed noise for {', '.join(model.other_inputs)}, which photos say "
            "nothing of"
        )
    labels = model.input.labels
    if labels is None and label_match != "index":
        warn(
            f"{model.name} does not name its classes: output i is taken for class i "
            "(--labels names them)"
        )
    elif labels not in (None, class_names):
        how = "not looked at" if label_match == "index" else "matched by name"
        warn(f"{model.name} has other classes than the data, or another order: {how}")


def runtimes_of(models: Sequence[OpenedModel]) -> str:
    """What ran the models."""
    forms = {model.form for model in models}
    names = [f"LiteRT {runtime_version()} with XNNPACK"] if "tflite" in forms else []
    if "keras" in forms:
        import keras

        names.append(f"Keras {keras.__version__} on {keras.backend.backend()}")
    return ", ".join(names)
