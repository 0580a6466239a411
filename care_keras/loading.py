"""A model of any form by its bundled name, from a `.keras` file or a float `.tflite`."""

import os

import keras

# Keras finds the classes of a file once these are imported.
import care_keras.layers
import care_keras.models.care_classifier
import care_keras.models.retinanet
import care_keras.models.semantic_fpn
import care_keras.quantization  # noqa: F401
from care_keras.deploy import lift
from care_keras.models.keras_file import load_keras_file
from care_keras.models.presets import PRESETS, check_name_or_path, load_preset


def load_any(name_or_path: str | os.PathLike) -> keras.Model:
    """Loads a bundled model by its name, a checked `.keras` file, or lifts a float `.tflite`.

    Args:
        name_or_path: A preset such as `"care_nano_cifar10"`, or a path.

    Returns:
        The uncompiled model.

    Raises:
        ValueError: If there is no such file, or `load_keras_file` or `lift`
            refuses it.
    """
    check_name_or_path(name_or_path)
    if name_or_path in PRESETS:
        return load_preset(name_or_path)
    if os.fspath(name_or_path).endswith(".tflite"):
        return lift(name_or_path)
    return load_keras_file(name_or_path)
