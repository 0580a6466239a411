"""Which shapes LiteRT gives the tensors of a .tflite file; for `tflite.child.worker`.

It imports nothing but the runtime, NumPy and what needs no more.
"""

import numpy as np

from care_keras.data.noise import random_input
from care_keras.litert.file import open_all_tensors


def work(request: dict) -> dict:
    """Allocates the file, and runs it where that alone does not tell every shape.

    Args:
        request: `model`, the .tflite file; `shapes`, those to open inputs with, by the tensor's
            index as text; `tensors`, indices of those whose shape is asked for.

    Returns:
        `shapes` by the tensor's index, `None` for those that depend on what the inputs hold; and
        `failure`, why the file could not be run, or `None`. What has no shape is left out.

    Raises:
        ValueError: If the file cannot be opened.
    """
    shapes = {int(index): shape for index, shape in request["shapes"].items()}
    file = open_all_tensors(
        request["model"],
        lambda details: {name: shapes[one["index"]] for name, one in details.items()},
    )
    found = _shapes(file, request["tensors"], run=False)
    left = [index for index in request["tensors"] if index not in found]
    failure, ran = None, []
    generator = np.random.default_rng(0)
    # Two kinds of content: a shape that is not the same for both depends on them.
    for make in (lambda one: random_input(one.shape, one.dtype, generator), _zeros):
        if not left:
            break
        try:
            file.run({name: make(one) for name, one in file.inputs.items()})
            ran.append(_shapes(file, left, run=True))
        except ValueError as error:
            failure = str(error)
    if ran:
        failure = None
        for index, shape in ran[0].items():
            found[index] = shape if all(other.get(index) == shape for other in ran) else None
    return {"shapes": found, "failure": failure}


def _shapes(file, tensors, run):
    """The shapes of those tensors that have memory, or none of any size once the file has run."""
    native = file.interpreter._interpreter
    shapes = {}
    for index in tensors:
        size = [int(one) for one in native.TensorSize(index, 0)]
        if _has_memory(file, index) or (run and 0 in size):
            shapes[index] = size
    del native  # The interpreter does not run while someone else holds it.
    return shapes


def _has_memory(file, index):
    try:
        file.interpreter.tensor(index)()
    except (ValueError, RuntimeError):
        return False
    return True


def _zeros(one):
    return np.zeros(one.shape, one.dtype)
