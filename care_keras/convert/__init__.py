"""Conversion to TFLite: `python -m care_keras.convert`."""
