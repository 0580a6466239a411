"""Computes an int8 network in NumPy, in integers, as LiteRT and XNNPACK compute its file."""

from care_keras.reference.integer_model import IntegerModel

__all__ = ["IntegerModel"]
