"""Which of several outputs is looked at."""

import os
from collections.abc import Collection


def chosen_output(
    outputs: Collection[str], name: str | None, model: str | os.PathLike, flag: str
) -> str:
    """The output that was asked for, or the only one there is.

    Args:
        outputs: Names of all.
        name: That of the flag, `None` where it is not given.
        model: The model, for messages.
        flag: The flag, `"--output"`.

    Raises:
        ValueError: If there are several and the flag names none of them.
    """
    if name in outputs:
        return name
    if len(outputs) == 1:
        return next(iter(outputs))
    listed = ", ".join(outputs)
    if name is None:
        raise ValueError(
            f"The model has several outputs: choose one with {flag}=NAME. "
            f"Received: outputs {listed} of {os.fspath(model)}"
        )
    raise ValueError(
        f"The model has no such output; it has {listed}. "
        f"Received: {flag}={name} for {os.fspath(model)}"
    )
