"""A .tflite file on Qualcomm's NPU, compiled and emulated here: `python -m tflite.npu`."""
