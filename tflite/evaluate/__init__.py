"""Accuracy on labelled images: `python -m tflite.evaluate`."""
