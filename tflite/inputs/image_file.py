"""A .tflite file that is fed images."""

import os
from collections.abc import Iterator

import numpy as np

from care_keras.litert.file import whole_batches
from care_keras.litert.tensor import TensorInfo
from care_keras.tflite_file import read_graph
from tflite.child.litert_file import LiteRTFileApart
from tflite.inputs.model_inputs import image_tensor
from tflite.inputs.noise import noise_beside
from tflite.inputs.records import ModelInput


class ImageFile(LiteRTFileApart):
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
        super().__init__(graph, num_threads, {tensor.index: shape}, **options)
        self.prepared, self.batch, self._seed = prepared, shape[0], seed
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

    def batches(
        self, pixels: np.ndarray, first: int = 0
    ) -> Iterator[tuple[dict[str, np.ndarray], int]]:
        """What `run` takes for any number of images, the last batch filled up.

        Yields:
            A batch, and how many images of its own it has.
        """
        for part, images in whole_batches(pixels, self.batch):
            encoded = self.encode(part, first)
            first += images
            yield (
                {
                    name: array if array.shape == self.inputs[name].shape else array[0]
                    for name, array in encoded.items()
                },
                images,
            )

    def run_on(self, pixels: np.ndarray, first: int = 0) -> dict[str, np.ndarray]:
        """All outputs in their own types, `(images, ...)` by name, for any number of images.

        Raises:
            ValueError: If the file does not run on one.
        """
        parts: dict[str, list] = {name: [] for name in self.outputs}
        for inputs, images in self.batches(pixels, first):
            for name, output in self.run(inputs).items():
                parts[name].append(rows_of(output, self.batch, self.outputs[name])[:images])
        return {name: np.concatenate(part) for name, part in parts.items()}


def rows_of(output: np.ndarray, batch: int, tensor: TensorInfo) -> np.ndarray:
    """An output with the images of a batch on its first axis.

    Raises:
        ValueError: If it is one of a whole batch.
    """
    if output.shape[:1] == (batch,):
        return output
    if batch > 1:
        raise ValueError(
            "An output must have a row for each image of a batch. "
            f"Received: {tensor.name} of {output.shape} for a batch of {batch}"
        )
    return output[None]
