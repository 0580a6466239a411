"""Tools that run and read .tflite files: `python -m tflite.TOOL`, or `care-tflite TOOL`."""
