"""Real and extreme images as a .tflite file takes them."""

import dataclasses
import os

import numpy as np

from care_keras.convert.images import read_pixels
from care_keras.data.overrides import InputOverrides
from care_keras.data.sources import Source, open_source
from care_keras.litert.tensor import TensorInfo
from care_keras.tflite_file import Graph, read_graph
from tflite.inputs.model_inputs import image_tensor, read_model_input
from tflite.inputs.noise import noise_beside
from tflite.inputs.odd_inputs import FAMILIES, odd_input
from tflite.inputs.records import ModelInput


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
    """Images for one file.

    Attributes:
        families: What each image is, `"photo"` or `"noise"`.
        values: Array of shape `(images, height, width, channels)` in the input's type.
        shape: The input's shape, with its batch.
        others: What further inputs take beside each image, by the tensor's index.
        model_input: What is known of the file, where it was asked for.
    """

    families: tuple[str, ...]
    values: np.ndarray
    shape: tuple[int, ...]
    others: dict[int, np.ndarray]
    model_input: ModelInput | None = None

    def by_index(self, graph: Graph) -> dict[int, np.ndarray]:
        """What each input of a file takes, whole batches `(images, *shape)`, by its index."""
        return {
            tensor.index: np.stack(
                [np.broadcast_to(one, tensor.shape) for one in self.others[tensor.index]]
            )
            if tensor.index in self.others
            else np.stack([np.broadcast_to(one, self.shape) for one in self.values])
            for tensor in graph.inputs
        }


def make_inputs(
    path: str | os.PathLike,
    data: str,
    count: int,
    seed: int = 0,
    overrides: InputOverrides | None = None,
    extremes: int | None = None,
) -> Inputs:
    """Makes `odd_input(0)` to `odd_input(count - 1)` for a file: a quarter of them are photos.

    Args:
        path: The file.
        data: Photos: `DIR`, `tfds:NAME[:SPLIT]` or `bundled`.
        count: How many images.
        seed: Seed of what is drawn.
        overrides: What the user says of how images are prepared.
        extremes: How many are no photos, in place of three quarters; they come first.

    Raises:
        ValueError: If the file or the photos cannot be read, or nothing says how
            images are prepared.
    """
    model_input = read_model_input(path, overrides)
    record = model_input.preprocessing
    source = open_source(data, "test").sample(count, seed)
    photos = read_pixels(source, record, f"reading {source.name}")[0]
    places = range(count) if extremes is None else _places(count, extremes)
    families, images = zip(*(odd_input(i, seed, photos) for i in places), strict=True)
    return _inputs(path, model_input, families, np.stack(images), seed)


def make_photos(
    path: str | os.PathLike,
    source: Source,
    seed: int = 0,
    overrides: InputOverrides | None = None,
) -> tuple[Inputs, np.ndarray | None]:
    """All images of a source for a file.

    Args:
        path: The file.
        source: The images.
        seed: Seed of what further inputs are given.
        overrides: What the user says of how images are prepared.

    Returns:
        The images, and their classes, `None` where those are not the model's.

    Raises:
        ValueError: As `make_inputs`.
    """
    model_input = read_model_input(path, overrides)
    pixels, labels = read_pixels(source, model_input.preprocessing, f"reading {source.name}")
    inputs = _inputs(path, model_input, ("photo",) * len(pixels), pixels, seed)
    return inputs, labels if model_input.labels == source.class_names else None


def _inputs(path, model_input, families, pixels, seed):
    record = model_input.preprocessing
    # Read from the file, not asked of an interpreter, which a damaged one can take down.
    graph = read_graph(path)
    tensor = image_tensor(graph)
    batch = max(1, (tensor.shape_signature or tensor.shape)[0])
    shape = (batch, record.height, record.width, record.channels)
    values = model_input.encode(pixels, TensorInfo.of_tensor(tensor))
    others = [TensorInfo.of_tensor(one) for one in graph.inputs if one is not tensor]
    noise = noise_beside(others, batch, range(len(pixels)), seed)
    by_index = {one.index: array for one, array in zip(others, noise, strict=True)}
    return Inputs(tuple(families), values, shape, by_index, model_input)


def _places(count, extremes):
    """Of the endless row of odd inputs the first that are no photos, then the first photos."""
    photo = FAMILIES.index("photo")
    row = range(count * len(FAMILIES))
    first = [place for place in row if place % len(FAMILIES) != photo][:extremes]
    return [*first, *row[photo :: len(FAMILIES)][: count - extremes]]
