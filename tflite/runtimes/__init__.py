"""A .tflite file in other runtimes and on other processors: `python -m tflite.runtimes`."""
