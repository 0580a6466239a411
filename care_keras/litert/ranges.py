"""How large the floats inside a .tflite file become, against what half precision holds.

As `file`, it imports NumPy and the runtime alone.
"""

import os
from collections.abc import Mapping

import numpy as np

from care_keras.litert.file import open_all_tensors

FLOAT16_MAX = float(np.finfo(np.float16).max)


def largest_floats(
    model: str | os.PathLike | bytes, samples: Mapping[int, np.ndarray]
) -> dict[int, float]:
    """The largest finite magnitude of each float32 tensor that an operator writes.

    Args:
        model: Path of the file, or its content.
        samples: Arrays `(samples, *shape)` for each input, by the tensor's index.

    Returns:
        By the tensor's index.

    Raises:
        ValueError: If the file cannot be run.
    """
    file = open_all_tensors(
        model,
        lambda details: {name: samples[one["index"]].shape[1:] for name, one in details.items()},
    )
    native = file.interpreter._interpreter
    written = [int(i) for node in range(native.NumNodes()) for i in native.NodeOutputs(node)]
    floats = [i for i in written if i >= 0 and native.TensorType(i, 0) is np.float32]
    del native  # The interpreter does not run while someone else holds it.
    largest = dict.fromkeys(floats, 0.0)
    if not floats:
        return {}
    for _ in file.inferences(samples):
        for index in floats:
            values = file.tensor(index)
            finite = np.abs(values[np.isfinite(values)])
            largest[index] = max(largest[index], float(finite.max(initial=0.0)))
    return largest


def beyond_float16(largest: Mapping[int, float]) -> dict[int, float]:
    """Those of `largest_floats` that half precision does not hold."""
    return {index: value for index, value in largest.items() if value > FLOAT16_MAX}
