"""Keras models that are fed images."""

import os
import pathlib
import threading
import time
from typing import TYPE_CHECKING, Self

import numpy as np

from care_keras.console.native_output import captured_native_output
from care_keras.data.overrides import InputOverrides
from care_keras.models.presets import PRESETS
from tflite.inputs.keras_runner import KerasRunner
from tflite.inputs.model_inputs import keras_model_input, load_keras
from tflite.inputs.records import ModelInput

if TYPE_CHECKING:
    import keras


def keras_file(path: str | os.PathLike) -> pathlib.Path:
    """The .keras file of a path, or of a bundled model's name."""
    return PRESETS[path].file if path in PRESETS else pathlib.Path(path)


def open_keras(
    path: str | os.PathLike, overrides: InputOverrides, loaded: "keras.Model | None" = None
) -> tuple["keras.Model", ModelInput]:
    """A Keras model of one input, and how images are prepared for it.

    Args:
        path: A .keras file or a bundled model's name.
        overrides: What the user says of its input.
        loaded: The model, where it is loaded already.

    Raises:
        ValueError: If it cannot be loaded, has several inputs, or nothing says
            how images are prepared for it.
    """
    with captured_native_output():
        model = load_keras(path) if loaded is None else loaded
    model_input = keras_model_input(model, path, overrides)
    if len(model.inputs) > 1:
        names = ", ".join(tensor.name for tensor in model.inputs)
        raise ValueError(
            "A Keras model must have one input to be evaluated: convert it, as other inputs of a "
            f".tflite file are fed noise. Received: inputs {names} of {path}"
        )
    return model, model_input


class KerasRun:
    """Runs a Keras model, for all threads alike.

    One at a time: Keras's backends spread the work over the cores themselves.

    Args:
        model: The model.
        model_input: How images are prepared for it.
    """

    def __init__(self, model: "keras.Model", model_input: ModelInput):
        self._model = model
        self._input = model_input
        self._lock = threading.Lock()
        self._runner = KerasRunner(model, 0)

    def ready_for(self, images: int) -> Self:
        """The same for so many images: from some number on as a graph, which takes time to make."""
        self._runner = KerasRunner(self._model, images)
        return self

    def __call__(self, pixels: np.ndarray) -> tuple[list[np.ndarray], float]:
        """All outputs in float32, `(images, ...)`, for uint8 pixels, and the seconds they took."""
        values = self._input.values(pixels)
        with self._lock:
            started = time.perf_counter()
            outputs = self._runner([values.astype(np.float32)])
            return outputs, time.perf_counter() - started
