"""Random values for inputs that take something else than images; NumPy alone is imported."""

from collections.abc import Iterable

import numpy as np

from care_keras.litert.tensor import TensorInfo


def random_input(
    shape: tuple[int, ...], dtype: np.dtype, generator: np.random.Generator
) -> np.ndarray:
    """Random values for a tensor in its own type.

    Floats are normal, as normalized images are; 8- and 16-bit integers, which
    are quantized values, take their whole range; wider ones, which are mostly
    indices, are 0 or 1, and so inside any table.

    Raises:
        ValueError: If the type is none that can be filled.
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "f" or dtype.name == "bfloat16":
        return generator.standard_normal(shape).astype(dtype)
    if dtype.kind == "c":
        real, imaginary = generator.standard_normal((2, *shape))
        return (real + 1j * imaginary).astype(dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low, high = (limits.min, limits.max) if dtype.itemsize <= 2 else (0, 1)
        return generator.integers(low, high, shape, dtype, endpoint=True)
    if dtype.kind == "b":
        return generator.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "SO":
        words = generator.integers(0, 100, shape)
        return np.vectorize(lambda word: b"word %d" % word, otypes=[object])(words)
    raise ValueError(f"There is no random input of this type. Received: dtype={dtype}")


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
