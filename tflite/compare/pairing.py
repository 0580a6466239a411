"""Which input or output of a .tflite file is which of a Keras model's."""

import re
from collections.abc import Sequence


def pair_up(
    keras_names: Sequence[str],
    file_names: Sequence[str],
    what: str,
    keras_name: str,
    path: str,
    some: bool = False,
) -> dict[int, str]:
    """By name where the file's names are among Keras's, else by place.

    Keras numbers the outputs that it exports (`output_0`), whatever the order is that the
    converter then gives them.

    Args:
        keras_names: Of the Keras model's inputs or outputs, in their order.
        file_names: Of the file's.
        what: `"inputs"` or `"outputs"`, for the message.
        keras_name: The Keras model, likewise.
        path: The file, likewise.
        some: Whether the file may lack some of Keras's.

    Returns:
        The file's name for each place in the Keras model, in order.

    Raises:
        ValueError: If neither tells.
    """
    unique = len(set(keras_names)) == len(keras_names)
    enough = some or len(file_names) == len(keras_names)
    if unique and enough and set(file_names) <= set(keras_names):
        return dict(sorted((keras_names.index(name), name) for name in file_names))
    if len(file_names) != len(keras_names):
        raise ValueError(
            f"The models do not fit together: {what} {', '.join(keras_names) or 'none'} in "
            f"{keras_name}, {', '.join(file_names) or 'none'} in {path}"
        )
    numbers = [re.search(r"\d+$", name) for name in file_names]
    if all(numbers):
        file_names = sorted(file_names, key=lambda name: int(re.search(r"\d+$", name)[0]))
    return dict(enumerate(file_names))
