"""A .tflite file in MediaPipe's ImageClassifier: `python -m tflite.mediapipe`."""
