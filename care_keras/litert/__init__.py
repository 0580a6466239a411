"""LiteRT on this machine: a .tflite file opened, run and read."""
