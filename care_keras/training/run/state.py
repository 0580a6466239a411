"""The state of a training: all that the next step depends on, as named arrays."""

import keras
import numpy as np

from care_keras.console.cli import UserError
from care_keras.training.run.seeding import random_state, set_random_state


def capture(model: keras.Model) -> dict[str, np.ndarray]:
    """All that the next step of a compiled model's training depends on.

    Weights, seeds of random layers, the optimizer's variables (its moments,
    averages, accumulated gradients and step), the running sums of the epoch's
    metrics, and PyTorch's random generators.

    Where several processes train together, all of them have to call it.
    """
    arrays = {
        name: _storable(keras.ops.convert_to_numpy(variable))
        for name, variable in _variables(model).items()
    }
    return arrays | random_state()


def restore(model: keras.Model, arrays: dict[str, np.ndarray], origin: str) -> None:
    """Sets a compiled model, every part of it built, to a captured state.

    Args:
        model: The model.
        arrays: What `capture` gave.
        origin: Where they are from, for the message.

    Raises:
        UserError: If the state is of another model or optimizer.
    """
    variables = _variables(model)
    of_model = {name for name in arrays if not name.startswith("random/")}
    fits = of_model == variables.keys() and all(
        arrays[name].shape == tuple(variable.shape) for name, variable in variables.items()
    )
    if not fits:
        raise UserError(
            f"{origin} is a checkpoint of another model or optimizer: "
            "delete it to start from the beginning"
        )
    for name, variable in variables.items():
        variable.assign(_restored(arrays[name], variable))


def restore_within_epoch(model: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    """Sets what the start of an epoch resets; to be called before its first step, not earlier."""
    set_random_state(arrays)
    for name, variable in _numbered("metric", model.metrics_variables).items():
        variable.assign(arrays[name])


def first_lost(arrays: dict[str, np.ndarray]) -> str | None:
    """Name of an array that holds NaN or infinity."""
    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            return name
    return None


def _variables(model):
    return {
        **_numbered("model", model.variables),
        **_numbered("optimizer", model.optimizer.variables),
        **_numbered("metric", model.metrics_variables),
    }


def _numbered(group, variables):
    # By number: names hold those of layers, which Keras numbers in order of their making. The end
    # of the name, `average` or `mean`, is for people.
    return {
        f"{group}/{i:05}/{variable.name.rpartition('_')[2]}": variable
        for i, variable in enumerate(variables)
    }


def _storable(array):
    # NumPy's files know no bfloat16: its bits.
    return array.view(f"u{array.dtype.itemsize}") if array.dtype.kind == "V" else array


def _restored(array, variable):
    dtype = np.dtype(keras.ops.convert_to_numpy(variable).dtype)
    return array.view(dtype) if dtype.kind == "V" else array
