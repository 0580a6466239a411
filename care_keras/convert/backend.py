"""The backend that makes .tflite files."""

import os
import sys

from care_keras.console.optional import is_installed


def restart_under_tensorflow() -> None:
    """Starts a command again with Keras on TensorFlow, unless it is, or is not installed.

    A .keras file loads the same in every backend, and this one starts single
    operations at the least cost.
    """
    import keras

    if keras.backend.backend() != "tensorflow" and is_installed("tensorflow"):
        os.execve(sys.executable, sys.orig_argv, {**os.environ, "KERAS_BACKEND": "tensorflow"})
