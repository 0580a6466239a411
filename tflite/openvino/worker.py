"""Runs one .tflite file in OpenVINO, in a process of its own.

For `tflite.child.worker`; it imports NumPy and OpenVINO alone.
"""

import numpy as np


def work(request: dict) -> dict:
    """Runs the file on every image, once in each mode.

    Args:
        request: `model`, a path; `inputs`, a .npy file of shape `(images, ...)`
            in the type of the input, of which each image fills a batch;
            `input_shape`, with the batch; `outputs`, a path's beginning to
            which a mode's name, the output's number and `.npy` are added; `modes`.

    Returns:
        `version`, `device`, and `outputs`, the number of the outputs.

    Raises:
        RuntimeError: If OpenVINO cannot read or run the file.
    """
    import openvino

    core = openvino.Core()
    inputs = np.load(request["inputs"], mmap_mode="r", allow_pickle=False)
    shape = tuple(request["input_shape"])
    model = core.read_model(request["model"])
    if model.inputs[0].partial_shape.is_dynamic:
        model.reshape(list(shape))
    for mode in request["modes"]:
        # Without these transformations the codes' real values are computed with, rounded to codes
        # after each operator; with them int8 kernels are.
        options = {"LP_TRANSFORMS_MODE": mode == "int8 kernels"}
        compiled = core.compile_model(model, "CPU", options)
        results = [list(compiled(np.broadcast_to(image, shape)).values()) for image in inputs]
        for place, of_images in enumerate(zip(*results, strict=True)):
            name = f"{request['outputs']}{mode} {place}.npy"
            np.save(name, np.stack(of_images), allow_pickle=False)
    return {
        "version": openvino.__version__,
        "outputs": len(model.outputs),
        "device": core.get_property("CPU", "FULL_DEVICE_NAME"),
    }
