"""What is in a .tflite file and what it needs: `python -m tflite.audit`."""
