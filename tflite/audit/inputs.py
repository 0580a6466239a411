"""What a .tflite file is run on to look inside, or to compare with: real images if it takes any."""

import dataclasses
import os

import numpy as np

from care_keras.convert.images import read_pixels
from care_keras.data.overrides import InputOverrides
from care_keras.data.sources import open_source
from care_keras.litert.tensor import TensorInfo
from care_keras.tflite_file import Graph, Tensor
from tflite.inputs.model_inputs import image_channels, image_tensor, tflite_input
from tflite.inputs.records import read_sidecar

_SEED = 0


@dataclasses.dataclass(frozen=True)
class AuditInputs:
    """Inputs for some inferences.

    Attributes:
        arrays: Arrays of shape `(samples, *shape)` by the tensor's index.
        description: What they are, for people.
        are_images: Whether they are images and no random values.
    """

    arrays: dict[int, np.ndarray]
    description: str
    are_images: bool


def choose_inputs(
    path: str | os.PathLike, graph: Graph, data: str, samples: int, overrides: InputOverrides
) -> AuditInputs:
    """Images prepared as the model wants them; random values where nothing says how.

    Args:
        path: The file; what lies beside it may say how images are prepared.
        graph: What is in it.
        data: Images: `DIR`, `tfds:NAME[:SPLIT]` or `bundled`.
        samples: Inferences.
        overrides: What the user says of the preparation.

    Raises:
        ValueError: If what the user, or the file beside it, says of images
            does not fit; if the images cannot be read; or if an input is of a
            type that has no random values.
    """
    try:
        model_input = tflite_input(path, overrides)
    except ValueError:
        if overrides != InputOverrides() or read_sidecar(path) is not None:
            raise
        random = _random(graph, graph.inputs, samples)
        reason = "as nothing says how images are prepared"
        return dataclasses.replace(random, description=f"{random.description}, {reason}")
    tensor = image_tensor(graph)
    batch, height, width = tensor.shape[:3]
    record = model_input.preprocessing
    if (height, width) != (record.height, record.width):
        raise ValueError(
            f"The file runs at its placeholder size {height}x{width} here: convert it with a fixed "
            f"size. Received: {record.height}x{record.width} for {os.fspath(path)}"
        )
    source = open_source(data, "test").sample(samples * batch, _SEED)
    pixels, _ = read_pixels(source, record, f"reading {source.name}, image")
    # In turn, where there are fewer than it takes.
    pixels = pixels[np.arange(samples * batch) % len(pixels)]
    values = model_input.encode(pixels, TensorInfo.of_tensor(tensor))
    arrays = {tensor.index: values.reshape(samples, *tensor.shape)}
    count = min(len(source), samples * batch)
    description = f"{count} images of {source.name}"
    others = [one for one in graph.inputs if one is not tensor]
    if others:
        random = _random(graph, others, samples)
        arrays |= random.arrays
        description += f" beside {random.description}"
    return AuditInputs(arrays, description, True)


def image_shapes(
    path: str | os.PathLike, graph: Graph, overrides: InputOverrides
) -> dict[int, tuple[int, ...]]:
    """The shape of an input that takes images and leaves their size open, by the tensor's index.

    Empty where nothing says the size.
    """
    try:
        record = tflite_input(path, overrides).preprocessing
        tensor = image_tensor(graph)
    except ValueError:
        return {}
    if -1 not in tensor.shape_signature[1:]:
        return {}
    shape = (tensor.shape[0], record.height, record.width, image_channels(tensor))
    return {tensor.index: shape}


def _random(graph, tensors, samples):
    generator = np.random.default_rng(_SEED)
    arrays, descriptions = {}, {}
    for tensor in tensors:
        values, description = _random_values(tensor, (samples, *tensor.shape), generator)
        arrays[tensor.index] = values
        descriptions[description] = None
    if not arrays:
        raise ValueError(f"The model has no input. Received: {graph.source}")
    return AuditInputs(arrays, f"{samples} random inputs ({'; '.join(descriptions)})", False)


def _random_values(tensor: Tensor, shape, generator):
    if tensor.dtype in ("float16", "float32", "float64"):
        return generator.uniform(-1, 1, shape).astype(tensor.dtype), "floats from -1 to 1"
    if tensor.dtype == "bool":
        return generator.integers(0, 2, shape).astype(bool), "truth values"
    if not tensor.dtype.startswith(("int", "uint")) or tensor.dtype in ("int4", "int2", "uint4"):
        raise ValueError(
            f"There are no random values of that type to run the file on. Received: {tensor.dtype} "
            f"input {tensor.name!r}"
        )
    if tensor.scales or tensor.dtype == "uint8":
        limits = np.iinfo(tensor.dtype)
        values = generator.integers(limits.min, limits.max + 1, shape).astype(tensor.dtype)
        return values, f"all codes of {tensor.dtype}"
    # Mostly indices, of which a small one is always in range.
    return generator.integers(0, 2, shape).astype(tensor.dtype), f"{tensor.dtype} 0 and 1"
