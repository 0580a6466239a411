"""The process of `in_child`: `python -m care_keras.convert.tensorflow_worker FOLDER`."""

import json
import pathlib
import sys

from care_keras.console.own_modules import import_modules
from care_keras.convert.by_tensorflow import convert_by_tensorflow
from care_keras.convert.in_child import CANNOT_LOAD, IMAGES, JOB, MODEL, OUTPUT, load_examples
from care_keras.data.record import Preprocessing
from care_keras.loading import load_any


def main(folder: pathlib.Path) -> None:
    """Converts what lies in the folder."""
    job = json.loads((folder / JOB).read_text())
    import_modules(job.pop("imports"))
    job["preprocessing"] = job["preprocessing"] and Preprocessing(**job["preprocessing"])
    images = load_examples(folder / IMAGES) if (folder / IMAGES).exists() else None
    try:
        model = load_any(str(folder / MODEL))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(CANNOT_LOAD)
    content = convert_by_tensorflow(model, calibration=images, **job)
    (folder / OUTPUT).write_bytes(content)


if __name__ == "__main__":
    try:
        main(pathlib.Path(sys.argv[1]))
    except ValueError as error:
        sys.exit(f"error: {error}")
