"""One row of the zoo in a process of its own: `python -m tflite.zoo.worker NAME FOLDER PLAN`."""

import dataclasses
import json
import pathlib
import sys
import time
from collections.abc import Callable

from care_keras.console.own_modules import import_modules
from care_keras.data.sources import open_source
from care_keras.files import write_atomically
from tflite.zoo.measure import Measurement, Plan
from tflite.zoo.models import MODELS, build

ROW, MODEL = "row.json", "model.keras"


def main(name: str, folder: pathlib.Path, data: str, plan: Plan) -> None:
    """Measures a model of the zoo, or a file, step by step; what failed is said in the row."""
    import_modules(plan.imports)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MODEL if name in MODELS else pathlib.Path(name)
    if name in MODELS and not path.is_file():
        build(name).save(path)
    open_source(data, "test")
    measurement = Measurement(path, data, folder, plan)
    record = {
        "model": name if name in MODELS else path.name,
        "errors": {},
        **read_row(folder),
    }
    for step, run in steps_left(measurement, record).items():
        took = _time_of(step)
        print(f"{name}: {step}", file=sys.stderr, flush=True)
        started = time.monotonic()
        record["errors"].pop(step, None)
        try:
            run()
        # A row says what went wrong; the other figures are worth having.
        except Exception as error:
            record["errors"][step] = f"{type(error).__name__}: {error}"[:300]
        seconds = round(time.monotonic() - started, 1)
        record |= {"plan": dataclasses.asdict(plan), **measurement.row, took: seconds}
        write_atomically(folder / ROW, json.dumps(record, indent=2) + "\n")
        if step in record["errors"] and step in ("float32", "int8"):
            break


def read_row(folder: pathlib.Path) -> dict:
    """The figures that are there."""
    return json.loads((folder / ROW).read_text()) if (folder / ROW).is_file() else {}


def steps_left(measurement: Measurement, row: dict) -> dict[str, Callable[[], None]]:
    """The steps of a measurement whose figures a row lacks."""
    return {
        step: run
        for step, run in measurement.steps().items()
        if _time_of(step) not in row or step in row["errors"]
    }


def _time_of(step):
    return f"seconds_of_{step.replace(' ', '_')}"


if __name__ == "__main__":
    _, model, place, images, settings = sys.argv
    main(model, pathlib.Path(place), images, Plan(**json.loads(settings)))
