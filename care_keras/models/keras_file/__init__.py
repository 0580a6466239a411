"""A `.keras` file: what it may hold, checked before Keras reads it, and the model in it."""

from care_keras.models.keras_file.archive import check_keras_file
from care_keras.models.keras_file.load import load_keras_file
from care_keras.models.keras_file.weights import check_weights_file

__all__ = ["check_keras_file", "check_weights_file", "load_keras_file"]
