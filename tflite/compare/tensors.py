"""What every tensor of a .tflite file holds for an image."""

import contextlib
from collections.abc import Iterable, Mapping

import numpy as np

from care_keras.tflite_file import Graph
from tflite.inputs.example_file import ExampleFile, rows_of

# Types of tensors that hold real values.
_REAL = ("float32", "float16")
_CODES = ("int8", "uint8", "int16")


class FileFailsError(ValueError):
    """A .tflite file that opens does not run on an example."""


class TensorReader:
    """Runs a file so that its inner tensors can be read.

    The runtime keeps all tensors then, for which XNNPACK runs each operator by
    itself instead of many in one piece: with the same kernels and results (seen
    with LiteRT 2.3; `compare` looks each time whether the outputs are the same to
    the bit).

    Args:
        file: The file, as it runs otherwise.
        graph: What is in it.
    """

    def __init__(self, file: ExampleFile, graph: Graph):
        self._graph = graph
        shapes = {info.index: info.shape for info in file.inputs.values()}
        self._file = ExampleFile(graph, file.batch, input_shapes=shapes, keep_all=True)

    def read(
        self, examples: Mapping[str, np.ndarray], tensors: Iterable[int]
    ) -> dict[int, np.ndarray]:
        """What tensors hold for examples of any number.

        Args:
            examples: Whole batches of what the inputs take, by name.
            tensors: Indices of tensors with a batch as their first size, or
                outputs.

        Returns:
            Their content by index, in their own type, for all examples.

        Raises:
            FileFailsError: If the file does not run on one.
        """
        parts: dict[int, list] = {index: [] for index in tensors}
        outputs = {output.index: output for output in self._file.outputs.values()}
        for inputs, _ in self._file.batches_of(examples):
            self._run(inputs)
            for index, part in parts.items():
                content = self._file.tensor(index)
                if index in outputs:
                    content = rows_of(content, self._file.batch, outputs[index])
                part.append(content)
        return {index: np.concatenate(part) for index, part in parts.items()}

    def shapes(self, examples: Mapping[str, np.ndarray]) -> dict[int, tuple[int, ...]]:
        """Shapes of the computed tensors that hold real values, for a batch."""
        inputs, _ = next(self._file.batches_of(examples))
        self._run(inputs)
        shapes = {}
        for operator in self._graph.operators:
            for tensor in self._graph.main.output_tensors(operator):
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
