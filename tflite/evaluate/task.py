"""What the models of an evaluation are for."""

from collections.abc import Sequence

from care_keras.console.native_output import captured_native_output
from care_keras.models.presets import PRESETS
from care_keras.models.tasks import task_of
from tflite.inputs.model_inputs import is_keras, load_keras
from tflite.inputs.records import read_sidecar

CLASSIFICATION = "classification"
TASKS = (CLASSIFICATION, "detection", "segmentation")


def choose_task(given: str | None, paths: Sequence[str]) -> tuple[str, dict]:
    """The task that was asked for, or what the models say of themselves.

    Args:
        given: That of the flag.
        paths: .tflite files, .keras files or bundled models' names.

    Returns:
        One of `TASKS`, and the Keras models by path that were loaded to find out.

    Raises:
        ValueError: If a model cannot be read, or they say different things.
    """
    loaded, said = {}, {}
    for path in paths:
        described = None
        if not is_keras(path):
            prepared = read_sidecar(path)
            described = None if prepared is None else prepared.task
        elif path in PRESETS:
            said[path] = PRESETS[path].task
        elif given is None:
            with captured_native_output():
                loaded[path] = load_keras(path)
            described = task_of(loaded[path])
        if described is not None:
            said[path] = described["name"]
    names = sorted(set(said.values()) | ({given} if given else set()))
    if len(names) > 1 or (names and names[0] not in TASKS):
        told = ", ".join(f"{path} says {name[:40]!r}" for path, name in said.items())
        asked = f"--task={given}, and " if given else ""
        raise ValueError(f"All models must be for one of {list(TASKS)}. Received: {asked}{told}")
    return (names[0] if names else CLASSIFICATION), loaded
