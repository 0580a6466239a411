"""What the tensors of a .tflite file hold in an inference."""

from collections.abc import Mapping

import numpy as np

from care_keras.litert.file import LiteRTFile
from care_keras.tflite_file import read_graph
from tflite.runs.tensors import expose_tensors, readable_tensors


def values_of(content: bytes, inputs: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
    """What all tensors hold that NumPy can, by index."""
    exposed = LiteRTFile(expose_tensors(content))
    exposed.feed({name: inputs[tensor.index] for name, tensor in exposed.inputs.items()})
    exposed.invoke()
    return {**inputs, **{i: exposed.tensor(i) for i in readable_tensors(read_graph(content))}}


def random_inputs(content: bytes) -> dict[int, np.ndarray]:
    """Small whole numbers for each input, by its index."""
    rng = np.random.default_rng(0)
    return {
        one.index: rng.integers(0, 8, one.shape).astype(one.dtype)
        for one in read_graph(content).inputs
    }
