"""Benchmarks of .tflite files on phones, over adb: `python -m android_bench`, `care-bench`."""
