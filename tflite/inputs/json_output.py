"""The JSON of figures that a command writes about models."""

import pathlib
from collections.abc import Sequence

from care_keras.console.cli import UserError
from care_keras.console.outputs import output_file
from care_keras.data.sidecar import sidecar_path


def json_output(value: str | None, models: Sequence[str]) -> pathlib.Path | None:
    """The path that `--output_json` names, looked at before the work; see `output_file`.

    Args:
        value: What was given, or `None`.
        models: What the command reads; of a .tflite file a JSON beside it is what describes it.

    Raises:
        UserError: If the file could not be written, or would replace a model's description.
    """
    path = output_file("output_json", value, (".json",))
    files = [model for model in models if model.endswith(".tflite")] if path else []
    for model in files:
        if path.resolve() == sidecar_path(model).resolve():
            raise UserError(
                f"--output_json={value} is the place of what describes {model}: give another name"
            )
    return path
