"""Latency of .tflite files on this machine: `python -m tflite.benchmark`."""
