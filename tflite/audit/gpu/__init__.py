"""What LiteRT's GPU accelerator makes of a .tflite file."""
