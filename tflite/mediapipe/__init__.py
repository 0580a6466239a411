"""A .tflite file in MediaPipe Tasks, against LiteRT: `python -m tflite.mediapipe`."""
