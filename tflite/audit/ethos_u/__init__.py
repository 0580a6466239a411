"""What Arm's compiler Vela takes of a .tflite file for Ethos-U NPUs, and its estimate of cycles."""
