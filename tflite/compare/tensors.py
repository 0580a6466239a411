"""What every tensor of a .tflite file holds for an image."""

import contextlib
import os
from collections.abc import Iterable

import numpy as np

from care_keras.tflite_file import Graph
from tflite.inputs.example_file import rows_of
from tflite.inputs.image_file import ImageFile
from tflite.inputs.records import ModelInput

# Types of tensors that hold real values.
_REAL = ("float32", "float16")
_CODES = ("int8", "uint8", "int16")


class FileFailsError(ValueError):
    """A .tflite file that opens does not run on an image."""


class TensorReader:
    """Runs a file so that its inner tensors can be read.

    The runtime keeps all tensors then, for which XNNPACK runs each operator by
    itself instead of many in one piece: with the same kernels and results (seen
    with LiteRT 2.3; `compare` looks each time whether the outputs are the same to
    the bit).

    Args:
        path: The file.
        prepared: How images are prepared for it.
    """

    def __init__(self, path: str | os.PathLike, prepared: ModelInput):
        self._file = ImageFile(path, prepared, keep_all=True)

    def read(self, pixels: np.ndarray, first: int, tensors: Iterable[int]) -> dict[int, np.ndarray]:
        """What tensors hold for images of any number.

        Args:
            pixels: uint8 `(images, height, width, 3)`: whole batches of the
                file.
            first: Number of the first of them.
            tensors: Indices of tensors with a batch as their first size, or
                outputs.

        Returns:
            Their content by index, in their own type, for all images.

        Raises:
            FileFailsError: If the file does not run on one.
        """
        parts: dict[int, list] = {index: [] for index in tensors}
        outputs = {output.index: output for output in self._file.outputs.values()}
        for inputs, _ in self._file.batches(pixels, first):
            self._run(inputs)
            for index, part in parts.items():
                content = self._file.tensor(index)
                if index in outputs:
                    content = rows_of(content, self._file.batch, outputs[index])
                part.append(content)
        return {index: np.concatenate(part) for index, part in parts.items()}

    def shapes(self, file: Graph, pixels: np.ndarray) -> dict[int, tuple[int, ...]]:
        """Shapes of the computed tensors that hold real values, for a batch of images."""
        inputs, _ = next(self._file.batches(pixels))
        self._run(inputs)
        shapes = {}
        for operator in file.operators:
            for tensor in file.main.output_tensors(operator):
                if not _holds_real_values(tensor):
                    continue
                # A tensor that no kernel has written has no content.
                with contextlib.suppress(ValueError):
                    shape = self._file.tensor(tensor.index).shape
                    if len(shape) > 1:
                        shapes[tensor.index] = shape
        return shapes

    def _run(self, inputs):
        try:
            self._file.feed(inputs)
            self._file.invoke()
        except ValueError as error:
            raise FileFailsError(str(error)) from error


def _holds_real_values(tensor):
    return tensor.dtype in _REAL or (tensor.dtype in _CODES and len(tensor.scales) == 1)
