"""Whether a .tflite file runs on whatever a camera gives: `python -m tflite.stress`."""
