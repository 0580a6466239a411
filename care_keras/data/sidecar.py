"""Where the JSON is that says how a .tflite file is fed and read."""

import os
import pathlib


def sidecar_path(model_path: str | os.PathLike) -> pathlib.Path:
    """`model.tflite` -> `model.json`."""
    return pathlib.Path(model_path).with_suffix(".json")
