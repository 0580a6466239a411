"""A .tflite file in other versions of the runtime: `python -m tflite.runtimes`."""
