"""How large the floats of a .tflite file become; for `tflite.child.worker`, as a kernel can crash.

It imports nothing but the runtime, NumPy and what needs no more.
"""

import numpy as np

from care_keras.litert.ranges import largest_floats


def work(request: dict) -> dict:
    """`{"largest": ...}`: `largest_floats` of `model` on `inputs`.

    Args:
        request: `model`, the .tflite file; `inputs`, an .npz of arrays `(samples, *shape)` by
            the tensor's index.

    Raises:
        ValueError: If the file cannot be run.
    """
    with np.load(request["inputs"], allow_pickle=False) as archive:
        samples = {int(index): archive[index] for index in archive.files}
    return {"largest": largest_floats(request["model"], samples)}
