"""What a `.keras` file may hold, checked before Keras reads it."""

from care_keras.models.keras_file.archive import check_keras_file

__all__ = ["check_keras_file"]
