"""What the deploy form gains: `python -m tflite.benchmark_forms`."""
