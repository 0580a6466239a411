"""A .tflite file in OpenVINO's CPU plugin: `python -m tflite.openvino`."""
