"""A .tflite file that is fed images."""

import os
from collections.abc import Iterator

import numpy as np

from care_keras.tflite_file import read_graph
from tflite.inputs.example_file import Batch, ExampleFile
from tflite.inputs.model_inputs import image_tensor
from tflite.inputs.noise import noise_beside
from tflite.inputs.records import ModelInput


class ImageFile(ExampleFile):
    """A file one of whose inputs takes images; the others are fed noise, the same for an image.

    Args:
        path: The file.
        prepared: How images are prepared for it.
        num_threads: Threads of the CPU kernels.
        seed: Of the noise.
        **options: Those of `LiteRTFileApart`.

    Attributes:
        image: Name of the input that takes images.
        others: Names of the other inputs.
        input: The input that takes images.
        batch: Images per inference.
        prepared: See above.

    Raises:
        ValueError: If LiteRT cannot open it, or it takes no images.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        prepared: ModelInput,
        num_threads: int = 1,
        seed: int = 0,
        **options,
    ):
        graph = read_graph(path)
        tensor = image_tensor(graph)
        size = prepared.preprocessing
        shape = (tensor.shape[0], size.height, size.width, size.channels)
        super().__init__(graph, shape[0], num_threads, {tensor.index: shape}, **options)
        self.prepared, self._seed = prepared, seed
        (self.image,) = (x for x, one in self.inputs.items() if one.index == tensor.index)
        self.others = tuple(name for name in self.inputs if name != self.image)
        self.input = self.inputs[self.image]

    def encode(self, pixels: np.ndarray, first: int = 0) -> dict[str, np.ndarray]:
        """What each input takes for some images, `(images, ...)` by name.

        Args:
            pixels: uint8 `(images, height, width, channels)`.
            first: Number of the first of them, which decides their noise.
        """
        others = [self.inputs[name] for name in self.others]
        noise = noise_beside(others, self.batch, range(first, first + len(pixels)), self._seed)
        encoded = self.prepared.encode(pixels, self.input)
        return {self.image: encoded} | dict(zip(self.others, noise, strict=True))

    def batches(self, pixels: np.ndarray, first: int = 0) -> Iterator[Batch]:
        """What `run` takes for any number of images, the last batch filled up."""
        for start in range(0, len(pixels), self.batch):
            part = pixels[start : start + self.batch]
            yield from self.batches_of(self.encode(part, first + start))

    def run_on(self, pixels: np.ndarray, first: int = 0) -> dict[str, np.ndarray]:
        """All outputs in their own types, `(images, ...)` by name, for any number of images.

        Raises:
            ValueError: If the file does not run on one.
        """
        return self.run_batches(self.batches(pixels, first))
