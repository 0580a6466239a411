"""A model on this machine, fed and read as benchmark_model feeds and reads it on the phone."""

import os

import numpy as np

from tflite.inputs.example_file import rows_of
from tflite.inputs.image_file import ImageFile
from tflite.inputs.records import ModelInput


class HostModel(ImageFile):
    """A .tflite file on this machine.

    Args:
        path: The file.
        prepared: How images are prepared for it.
        xnnpack: Whether XNNPACK runs what it takes, or TFLite's own kernels everything.

    Raises:
        ValueError: If it cannot be opened, or takes no images.
    """

    def __init__(self, path: str | os.PathLike, prepared: ModelInput, xnnpack: bool):
        super().__init__(path, prepared, xnnpack=xnnpack)

    def content(self, pixels: np.ndarray, number: int = 0) -> dict[str, np.ndarray]:
        """What the inputs take for one image, by name; a batch holds it several times.

        Args:
            pixels: uint8 `(height, width, 3)`.
            number: Of the image, which decides the noise beside it.
        """
        return {
            name: np.broadcast_to(array[0], self.inputs[name].shape)
            for name, array in self.encode(pixels[None], number).items()
        }

    def first_outputs(self, content: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs for the first of the batch, in the tensors' types, by name.

        Raises:
            ValueError: If it fails to run.
        """
        return self._first(self.run(content))

    def read(self, data: bytes) -> dict[str, np.ndarray]:
        """The same from what benchmark_model wrote: one output behind the other.

        Raises:
            ValueError: If its size is not that of the outputs.
        """
        # Each tensor once, whatever names it has.
        tensors = {tensor.index: tensor for tensor in self.outputs.values()}
        sizes = [int(np.prod(one.shape)) * one.dtype.itemsize for one in tensors.values()]
        if len(data) != sum(sizes):
            raise ValueError(
                f"The output on the phone has another size. Received: {len(data)} bytes for "
                f"{' and '.join(map(str, tensors.values()))}"
            )
        parts = np.split(np.frombuffer(data, np.uint8), np.cumsum(sizes)[:-1])
        arrays = {
            index: part.view(tensor.dtype).reshape(tensor.shape)
            for part, (index, tensor) in zip(parts, tensors.items(), strict=True)
        }
        return self._first({name: arrays[one.index] for name, one in self.outputs.items()})

    def _first(self, outputs):
        return {
            name: rows_of(array, self.batch, self.outputs[name])[0]
            for name, array in outputs.items()
        }
