"""A model by preset name or from a `.keras` file, checked, for the command lines."""

import os

import keras
import numpy as np

from care_keras.models.keras_file import check_keras_file
from care_keras.models.presets import PRESETS, load_preset


def load_any(name_or_path: str) -> keras.Model:
    """Loads a bundled model by its name, or a `.keras` file.

    What a file names is checked before Keras sees it: it may hold Keras's own layers and
    operations and classes that this process has registered, and of functions activations
    alone. So loading it calls no function of the file's choice, reads no other file and
    leaves the process's settings as they are; see `keras_file.check_keras_file`. How large
    a model it describes is not bounded.

    Args:
        name_or_path: A preset such as `"care_nano_cifar10"`, or a path.

    Returns:
        The uncompiled model.

    Raises:
        ValueError: If there is no such file, if it is damaged or no Keras
            model, if it names what a model file may not hold, or if it has
            weights that are not finite.
    """
    if name_or_path in PRESETS:
        return load_preset(name_or_path)
    if not os.path.exists(name_or_path):
        raise ValueError(
            f"No such model file, nor a bundled model ({', '.join(sorted(PRESETS))}). "
            f"Received: {name_or_path!r}"
        )
    # Keras finds the classes of the deploy form and the quantized form once these are imported.
    import care_keras.deploy
    import care_keras.quantization  # noqa: F401

    check_keras_file(name_or_path)
    try:
        model = keras.models.load_model(name_or_path, compile=False)
    # Keras raises whatever the damaged part leads to (KeyError, OSError, TypeError, ...).
    except Exception as error:
        lines = str(error).strip().splitlines() or [repr(error)]
        raise ValueError(
            f"Keras cannot load the model: {lines[0]} Received: {name_or_path!r}"
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
            f"Received: {name_or_path!r}"
        )
    return model
