"""A .tflite file against its Keras model: `python -m tflite.compare`."""
