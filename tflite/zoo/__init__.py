"""Networks of all kinds, converted and measured: `python -m tflite.zoo`."""
