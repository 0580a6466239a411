"""CIFAR-10 as one file of arrays, which the programs that train small networks read."""

import os

import numpy as np

from care_keras.console.cli import UserError

LABELS = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads the `.npz` file of `--data`.

    Returns:
        `x_train` and `x_test`, uint8 `(images, 32, 32, 3)`, and `y_train` and `y_test`,
        int32 `(images,)`.

    Raises:
        UserError: If it cannot be read, or lacks one of them.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    except OSError as error:
        raise UserError(f"--data={path} cannot be read: {error.strerror or error}") from error
    except KeyError as error:
        raise UserError(f"--data={path}: {error.args[0]}") from error
    for name in ("y_train", "y_test"):
        arrays[name] = arrays[name].reshape(-1).astype(np.int32)
    return arrays
