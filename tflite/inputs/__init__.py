"""How images become what a .tflite file takes, and which images."""
