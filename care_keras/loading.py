"""A model of any form by its bundled name or from a `.keras` file."""

import os

import keras

# Keras finds the classes of a file once these are imported.
import care_keras.deploy
import care_keras.layers
import care_keras.quantization  # noqa: F401
from care_keras.models.keras_file import load_keras_file
from care_keras.models.presets import PRESETS, load_preset


def load_any(name_or_path: str) -> keras.Model:
    """Loads a bundled model by its name, or a checked `.keras` file.

    Args:
        name_or_path: A preset such as `"care_nano_cifar10"`, or a path.

    Returns:
        The uncompiled model.

    Raises:
        ValueError: If there is no such file, or `load_keras_file` refuses it.
    """
    if name_or_path in PRESETS:
        return load_preset(name_or_path)
    if not os.path.exists(name_or_path):
        raise ValueError(
            f"No such model file, nor a bundled model ({', '.join(sorted(PRESETS))}). "
            f"Received: {name_or_path!r}"
        )
    return load_keras_file(name_or_path)
