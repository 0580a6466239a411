"""A model on this machine, fed and read as benchmark_model feeds and reads it on the phone."""

import os

import numpy as np

from care_keras.litert.model import TensorInfo
from tflite.benchmark.worker import open_model
from tflite.inputs.model_inputs import ModelInput


class HostModel:
    """A .tflite file on this machine.

    Args:
        path: The file.
        xnnpack: Whether XNNPACK runs what it takes, or TFLite's own kernels everything.
        size: Height and width of its images.

    Raises:
        ValueError: If it cannot be opened, or has several inputs or outputs.
    """

    def __init__(self, path: str | os.PathLike, xnnpack: bool, size: tuple[int, int]):
        shapes = {"": [1, *size, 3]}
        request = {"model": str(path), "xnnpack": xnnpack}
        self._interpreter = open_model(request)
        details = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        if len(details) != 1 or len(outputs) != 1:
            raise ValueError(
                "Outputs are compared of models with one input and one output. "
                f"Received: {len(details)} and {len(outputs)} in {path}"
            )
        if tuple(details[0]["shape"][1:3]) != tuple(size):
            self._interpreter = open_model({**request, "shapes": shapes})
            details = self._interpreter.get_input_details()
            outputs = self._interpreter.get_output_details()
        self.input, self._output = _tensor(details[0]), outputs[0]
        self._index = details[0]["index"]

    def content(self, pixels: np.ndarray, model_input: ModelInput) -> np.ndarray:
        """The input tensor for one image; a batch holds it several times."""
        values = model_input.encode(pixels[None], self.input)
        return np.repeat(values, self.input.shape[0], axis=0)

    def run(self, content: np.ndarray) -> np.ndarray:
        """Output for the first of the batch, in the tensor's type."""
        try:
            self._interpreter.set_tensor(self._index, content)
            self._interpreter.invoke()
        except RuntimeError as error:
            raise ValueError(f"The model fails to run here. Received: {error}") from error
        return self._interpreter.get_tensor(self._output["index"])[0].copy()

    def read(self, data: bytes) -> np.ndarray:
        """Output for the first of the batch from what benchmark_model wrote.

        Raises:
            ValueError: If its size is not that of the output.
        """
        shape, dtype = tuple(self._output["shape"]), np.dtype(self._output["dtype"])
        if len(data) != int(np.prod(shape)) * dtype.itemsize:
            raise ValueError(
                f"The output on the phone has another size. Received: {len(data)} bytes for "
                f"{dtype}{shape}"
            )
        return np.frombuffer(data, dtype).reshape(shape)[0]


def _tensor(details):
    scale, zero_point = details["quantization"]
    return TensorInfo(
        details["name"],
        tuple(int(size) for size in details["shape"]),
        np.dtype(details["dtype"]),
        float(scale),
        int(zero_point),
    )
