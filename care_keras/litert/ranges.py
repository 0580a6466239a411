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
    """The largest magnitude of each float32 tensor that an operator writes.

    What is not finite does not count, as masks of -inf, unless an operator makes infinity or NaN
    of finite numbers: float32 is too small for that tensor, whose magnitude is float32's largest.

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
    # The inputs of the operator that writes each tensor.
    read = {}
    for node in range(native.NumNodes()):
        inputs = _floats(native, native.NodeInputs(node))
        read.update(dict.fromkeys(_floats(native, native.NodeOutputs(node)), inputs))
    del native  # The interpreter does not run while someone else holds it.
    largest = dict.fromkeys(read, 0.0)
    if not read:
        return {}
    for _ in file.inferences(samples):
        for index, inputs in read.items():
            values = file.tensor(index)
            finite = np.isfinite(values)
            magnitude = np.abs(values[finite]).max(initial=0.0)
            if not finite.all() and _overflows(values, map(file.tensor, inputs)):
                magnitude = np.finfo(np.float32).max
            largest[index] = max(largest[index], float(magnitude))
    return largest


def _floats(native, indices):
    return [int(i) for i in indices if i >= 0 and native.TensorType(int(i), 0) is np.float32]


def _overflows(values, inputs):
    # -inf may be meant: the logarithm of 0.
    has_lost = np.isnan(values).any() or np.isposinf(values).any()
    return has_lost and all(np.isfinite(one).all() for one in inputs)


def beyond_float16(largest: Mapping[int, float]) -> dict[int, float]:
    """Those of `largest_floats` that half precision does not hold."""
    return {index: value for index, value in largest.items() if value > FLOAT16_MAX}
