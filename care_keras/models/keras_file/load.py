"""A `.keras` file loaded, once it is checked."""

import os
import warnings

import keras
import numpy as np

from care_keras.files import first_line
from care_keras.models.keras_file.archive import check_keras_file


def load_keras_file(path: str | os.PathLike) -> keras.Model:
    """Loads a `.keras` file whose classes this process has registered.

    What it names is checked before Keras sees it: it may hold Keras's own layers and
    operations and registered classes, and of functions activations alone. So loading it
    calls no function of the file's choice, reads no other file and leaves the process's
    settings as they are; see `check_keras_file`. How large a model it describes is not bounded.

    Args:
        path: The file.

    Returns:
        The uncompiled model.

    Raises:
        ValueError: If it is damaged or no Keras model, if it names what a model file may
            not hold, or if it has weights that are not finite.
    """
    path = os.fspath(path)
    check_keras_file(path)
    try:
        with warnings.catch_warnings():
            # Layers whose weights the file lacks would keep those that they were made with.
            warnings.filterwarnings("error", "Skipping nested container", UserWarning)
            model = keras.models.load_model(path, compile=False)
    # Keras raises whatever the damaged part leads to (KeyError, OSError, TypeError, ...).
    except Exception as error:
        raise ValueError(
            f"Keras cannot load the model: {first_line(error)}. Received: {path!r}"
        ) from error
    broken = [
        weight.path
        for weight in model.weights
        if not np.all(np.isfinite(keras.ops.convert_to_numpy(weight).astype(np.float32)))
    ]
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        raise ValueError(
            f"The model has NaN or infinite weights: {', '.join(broken[:3])}{more}. "
            f"Received: {path!r}"
        )
    return model
