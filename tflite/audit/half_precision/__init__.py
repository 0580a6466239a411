"""Whether half precision holds what a float .tflite file computes."""
