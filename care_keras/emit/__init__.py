"""Writes a deploy form, or a quantized form, as a .tflite file, operation by operation."""
