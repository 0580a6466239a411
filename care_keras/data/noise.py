"""Random values for inputs that take something else than images; NumPy alone is imported."""

import numpy as np


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
