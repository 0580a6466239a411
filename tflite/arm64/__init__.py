"""A .tflite file under the phones' instruction set: `python -m tflite.arm64`."""
