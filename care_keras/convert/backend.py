"""The backend that makes .tflite files."""

import os
import sys


def restart_under_tensorflow() -> None:
    """Starts a command again with Keras on TensorFlow, unless it is.

    A .keras file loads the same in every backend.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        os.execve(sys.executable, sys.orig_argv, {**os.environ, "KERAS_BACKEND": "tensorflow"})
