"""What every tensor of a .tflite file holds for an image."""

import contextlib
import os
import warnings
from collections.abc import Iterable

import numpy as np

from care_keras.console.native_output import captured_native_output
from care_keras.litert.model import TensorInfo
from care_keras.tflite_file import Graph, Tensor

# Types of tensors that hold real values.
_REAL = ("float32", "float16")
_CODES = ("int8", "uint8", "int16")


class FileFailsError(ValueError):
    """A .tflite file that opens does not run on an image."""


class TensorReader:
    """Runs a file so that its inner tensors can be read.

    The runtime keeps all tensors then, for which XNNPACK runs each operator by
    itself instead of many in one piece: with the same kernels and results (seen
    with LiteRT 2.3; `compare` looks each time whether the output is the same to
    the bit).

    Args:
        path: The file, which takes one input and gives one output.
        input_shape: Shape to open the input with.
        num_threads: Threads of the CPU kernels.
    """

    def __init__(self, path: str | os.PathLike, input_shape: tuple[int, ...], num_threads: int = 1):
        from ai_edge_litert.interpreter import Interpreter

        with captured_native_output(), warnings.catch_warnings():
            # That this takes memory.
            warnings.simplefilter("ignore", UserWarning)
            self._interpreter = Interpreter(
                model_path=os.fspath(path),
                num_threads=num_threads,
                experimental_preserve_all_tensors=True,
            )
            details = self._interpreter.get_input_details()[0]
            if tuple(details["shape"]) != tuple(input_shape):
                self._interpreter.resize_tensor_input(details["index"], input_shape, strict=True)
            self._interpreter.allocate_tensors()
        self._input, self._batch = details["index"], input_shape[0]

    def read(self, inputs: np.ndarray, tensors: Iterable[int]) -> dict[int, np.ndarray]:
        """What tensors hold for inputs of any number.

        Args:
            inputs: What the input tensor takes, in its type: whole batches of
                the file.
            tensors: Indices of tensors with a batch as their first size.

        Returns:
            Their content by index, in their own type, for all inputs.

        Raises:
            FileFailsError: If the file does not run on one.
        """
        parts = {index: [] for index in tensors}
        for start in range(0, len(inputs), self._batch):
            self._run(inputs[start : start + self._batch])
            for index, part in parts.items():
                part.append(self._interpreter.get_tensor(index))
        return {index: np.concatenate(part) for index, part in parts.items()}

    def shapes(self, file: Graph, inputs: np.ndarray) -> dict[int, tuple[int, ...]]:
        """Shapes of the computed tensors that hold real values, for a batch of inputs."""
        self._run(inputs)
        shapes = {}
        for operator in file.operators:
            for tensor in file.main.output_tensors(operator):
                if not _holds_real_values(tensor):
                    continue
                # A tensor that no kernel has written has no content.
                with contextlib.suppress(ValueError):
                    shape = self._interpreter.get_tensor(tensor.index).shape
                    if len(shape) > 1:
                        shapes[tensor.index] = shape
        return shapes

    def _run(self, inputs):
        try:
            self._interpreter.set_tensor(self._input, inputs)
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise FileFailsError(f"The model fails to run. Received: {error}") from error


def tensor_info(tensor: Tensor) -> TensorInfo:
    """How a tensor of a file holds real values."""
    return TensorInfo(
        name=tensor.name,
        shape=tensor.shape,
        dtype=np.dtype(tensor.dtype),
        scale=tensor.scales[0] if tensor.scales else 0.0,
        zero_point=tensor.zero_points[0] if tensor.zero_points else 0,
    )


def _holds_real_values(tensor):
    return tensor.dtype in _REAL or (tensor.dtype in _CODES and len(tensor.scales) == 1)
