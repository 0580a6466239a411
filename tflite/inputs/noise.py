"""Random values for inputs that take something else than images; NumPy alone is imported."""

from collections.abc import Iterable

import numpy as np

from care_keras.data.noise import random_input
from care_keras.litert.tensor import TensorInfo


def noise_beside(
    tensors: Iterable[TensorInfo], batch: int, places: Iterable[int], seed: int = 0
) -> list[np.ndarray]:
    """Random values for what a file takes beside images: always the same for an image.

    Args:
        tensors: The inputs, as they were opened.
        batch: Images per inference.
        places: Numbers of the images.
        seed: Seed of the values.

    Returns:
        For each input an array `(images, ...)`; a row is what one image of a
        batch takes, or the whole input where it has no such axis.
    """
    found, places = [], list(places)
    for tensor in tensors:
        shape = tensor.shape[1:] if tensor.shape[:1] == (batch,) else tensor.shape
        generators = (np.random.default_rng((seed, tensor.index, place)) for place in places)
        found.append(np.stack([random_input(shape, tensor.dtype, one) for one in generators]))
    return found
