"""Benchmarks of .tflite files on phones, over adb; run from a checkout."""
