"""Attention's cost against the number of tokens: `python -m tflite.benchmark_tokens`."""
