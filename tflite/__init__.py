"""Tools that run and read .tflite files on this machine, from a checkout."""
