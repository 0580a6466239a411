"""A .tflite file of one input and one output."""

import os
from collections.abc import Callable

import numpy as np

from care_keras.litert.file import LiteRTFile, whole_batches
from care_keras.litert.tensor import TensorInfo


class LiteRTModel:
    """A .tflite file with one input and one output, ready to run.

    Args:
        model: Path of the file, or its content.
        num_threads: Threads of the CPU kernels.
        input_shape: Shape to open the input with, for a file that leaves sizes
            of it open; by default the file's own.

    Attributes:
        inputs: The input by its name.
        outputs: The output by its name.
        input: The input.
        output: The output.

    Raises:
        ValueError: If the file is missing, is no model that LiteRT can run, or has several inputs
            or outputs, which `LiteRTFile` takes.
    """

    def __init__(
        self,
        model: str | os.PathLike | bytes,
        num_threads: int = 1,
        input_shape: tuple[int, ...] | None = None,
    ):
        shapes = None if input_shape is None else lambda names: {next(iter(names)): input_shape}
        self._file = LiteRTFile(model, num_threads, shapes)
        self.inputs, self.outputs = self._file.inputs, self._file.outputs
        if len(self.inputs) != 1 or len(self.outputs) != 1:
            name = f"{len(model)} bytes" if isinstance(model, bytes) else os.fspath(model)
            raise ValueError(
                "The model must have one input and one output. "
                f"Received: {len(self.inputs)} inputs and {len(self.outputs)} outputs in {name}"
            )
        (self.input,), (self.output,) = self.inputs.values(), self.outputs.values()

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """Runs the model on its own input type and returns its own output type.

        Args:
            inputs: Array of `self.input`'s shape and dtype.

        Raises:
            ValueError: If the input does not fit, or a kernel fails.
        """
        (output,) = self._file.run(inputs).values()
        return output

    def predict(
        self,
        values: np.ndarray,
        encode: Callable[[np.ndarray, TensorInfo], np.ndarray] | None = None,
    ) -> np.ndarray:
        """Runs any number of samples of real values, in batches of the model's size.

        Args:
            values: Array of shape `(samples, ...)`: what the float model would
                take, or raw pixels where the model takes those; or what
                `encode` takes.
            encode: Makes a batch of `values` the content of the input tensor,
                by default `TensorInfo.quantize`. Only a batch at a time is
                held in the input's type.

        Returns:
            float32 outputs of shape `(samples, ...)`.
        """
        outputs = []
        for part, samples in whole_batches(values, self.input.shape[0]):
            codes = encode(part, self.input) if encode else self.input.quantize(part)
            outputs.append(self.output.dequantize(self.run(codes))[:samples])
        return np.concatenate(outputs)


def runtime_version() -> str:
    """Version of the LiteRT wheel, to stand beside every figure it gave."""
    import importlib.metadata

    return importlib.metadata.version("ai-edge-litert")
