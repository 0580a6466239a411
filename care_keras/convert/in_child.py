"""TensorFlow's converter in a process of its own: it may die, and takes gigabytes."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
from collections.abc import Iterable

import keras
import numpy as np

from care_keras.console.launched import own_module
from care_keras.console.optional import MissingDependencyError, is_installed
from care_keras.console.own_modules import imported_modules
from care_keras.convert.by_tensorflow import convert_by_tensorflow
from care_keras.data.record import Preprocessing
from care_keras.deploy import fuse
from care_keras.files import first_line
from care_keras.graph import functional_form
from care_keras.primitives.deploy_model import DeployModel
from care_keras.quantization.quantize import describe_operations

# Files of the folder that both processes know.
MODEL, JOB, IMAGES, OUTPUT = "model.keras", "job.json", "images.npz", "model.tflite"
# The child's exit code where it does not know a class of the model.
CANNOT_LOAD = 3


def convert_in_child(
    model: keras.Model,
    preprocessing: Preprocessing | None,
    precision: str,
    input_kind: str = "float",
    batch: int = 1,
    calibration: Iterable[np.ndarray | tuple[np.ndarray, ...]] | None = None,
) -> bytes:
    """`convert_by_tensorflow` of a copy of a model; its arguments, and its errors.

    Raises:
        ValueError: If the converter refuses the model, or dies of it.
        MissingDependencyError: If TensorFlow is not installed.
    """
    require_tensorflow(model)
    images = None if calibration is None else list(calibration)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        try:
            model.save(folder / MODEL)
        # A layer of someone else's that cannot say its config.
        except Exception as error:
            if keras.backend.backend() != "tensorflow":
                raise ValueError(f"The model cannot be saved: {first_line(error)}") from error
            return convert_by_tensorflow(model, preprocessing, precision, input_kind, batch, images)
        if images is not None:
            _save(folder / IMAGES, images)
        job = {
            "preprocessing": preprocessing and preprocessing.to_dict(),
            "precision": precision,
            "input_kind": input_kind,
            "batch": batch,
            "imports": imported_modules(),
        }
        (folder / JOB).write_text(json.dumps(job))
        command = [*own_module("care_keras.convert.tensorflow_worker"), name]
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
        # What a process that dies has no time to remove goes with the folder.
        environment["TMPDIR"] = name
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode == 0:
            return (folder / OUTPUT).read_bytes()
        if done.returncode == CANNOT_LOAD and keras.backend.backend() == "tensorflow":
            # Classes that only this process knows.
            return convert_by_tensorflow(model, preprocessing, precision, input_kind, batch, images)
        if done.returncode < 0:
            reason = signal.Signals(-done.returncode).name
            raise ValueError(
                f"TensorFlow's converter died of the model ({reason}); leave out what it cannot "
                f"convert, or take --precision=float32. Received: {_suspects(model)}"
            )
        lines = done.stderr.strip().splitlines() or ["it gave no reason"]
        raise ValueError(lines[-1].removeprefix("error: "))


def require_tensorflow(model: keras.Model | None = None) -> None:
    """Raises MissingDependencyError, before minutes of work, where the converter is not installed.

    Args:
        model: What it is needed for, if that is known.
    """
    if is_installed("tensorflow"):
        return
    foreign = getattr(model, "foreign_operations", [])
    of = f" for {describe_operations(foreign)}, which there are no primitives of" if foreign else ""
    raise MissingDependencyError(
        f"TensorFlow's converter is needed{of}, and TensorFlow is not installed: "
        "pip install tensorflow"
    )


def _suspects(model):
    """What no primitives are for, by name: a converter dies of one of these, if of any."""
    deployed = model
    if functional_form(model) is not None and not isinstance(model, DeployModel):
        deployed = fuse(model)
    foreign = getattr(deployed, "foreign_operations", [])
    return describe_operations(foreign) if foreign else repr(model.name)


def _save(path, examples):
    """Writes what `load_examples` reads: images, or tuples of several inputs."""
    if isinstance(examples[0], tuple):
        examples = list(zip(*examples, strict=True))
        np.savez(path, **{f"input_{place}": np.stack(one) for place, one in enumerate(examples)})
    else:
        np.savez(path, images=np.stack(examples))


def load_examples(path: pathlib.Path) -> list:
    """The examples of `convert_in_child`, in the folder that it hands over."""
    with np.load(path, allow_pickle=False) as archive:
        if "images" in archive.files:
            return list(archive["images"])
        arrays = [archive[f"input_{place}"] for place in range(len(archive.files))]
    return list(zip(*arrays, strict=True))
