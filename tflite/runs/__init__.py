"""A .tflite file run over images in a child process, and two such runs compared."""
