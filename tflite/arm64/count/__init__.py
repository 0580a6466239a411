"""Executed ARM64 instructions of one inference: `python -m tflite.arm64 --count`."""
