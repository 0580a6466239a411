"""Converts networks of all kinds and measures each: `python -m tflite.zoo`.

A row for a model: how far the float32 file is from Keras, what int8 loses,
whether it is integer-only and NumPy's integers are LiteRT's, odd inputs that
fail, latency in units of the file of TensorFlow's converter, time and memory of
the conversion. Rows lie in --folder, and a figure that is there is not taken
again: `--rounds=0` leaves latency to a quiet hour. Exit code 1 if a row does
not hold.
"""

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys

from absl import flags

from care_keras.console import cli
from care_keras.console.import_flag import import_own_modules
from care_keras.console.launched import own_module
from care_keras.console.own_modules import imported_modules
from care_keras.data.sources import check_source
from care_keras.files import check_readable

_MODEL = flags.DEFINE_multi_string(
    "model", [], "Names of the zoo, .keras or .tflite files (default: all of the zoo)."
)
_FOLDER = flags.DEFINE_string("folder", "runs/zoo", "Where files and rows go.")
_DATA = flags.DEFINE_string("data", "bundled", "Images: DIR, tfds:NAME or bundled.")
_PHOTOS = flags.DEFINE_integer(
    "photos", 50, "Held-out images that SNR and agreement are of.", lower_bound=1
)
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Rounds of latency; 0: none.", lower_bound=0)
_ODD_INPUTS = flags.DEFINE_integer("odd_inputs", 2000, "Odd inputs.", lower_bound=1)
_QAT = flags.DEFINE_bool("qat", True, "Take a step of quantization-aware training.")
_MEAN = flags.DEFINE_string("mean", None, "R,G,B mean of models that do not say it.")
_STD = flags.DEFINE_string("std", None, "R,G,B standard deviation, likewise.")
_AGAIN = flags.DEFINE_bool("again", False, "Take figures again that are there.")
_MARKDOWN = flags.DEFINE_bool("markdown", False, "Print the table as Markdown.")

_FILES = (".keras", ".tflite")


def main() -> None:
    """The command."""
    check_source(_DATA.value)
    for name in _MODEL.value:
        if name.endswith(_FILES):
            check_readable(name)
    from tflite.zoo.measure import Measurement, Plan
    from tflite.zoo.models import MODELS
    from tflite.zoo.table import faults_of, markdown_table, median_latencies, text_table
    from tflite.zoo.worker import ROW, read_row, steps_left

    # A module that cannot be imported is known before minutes of work.
    import_own_modules()
    names = _MODEL.value or list(MODELS)
    unknown = [name for name in names if name not in MODELS and not name.endswith(_FILES)]
    if unknown:
        raise cli.UserError(f"--model must be of {', '.join(MODELS)}, or a .keras or .tflite file")
    plan = Plan(
        photos=_PHOTOS.value,
        odd_inputs=_ODD_INPUTS.value,
        rounds=_ROUNDS.value,
        qat=_QAT.value,
        mean=_MEAN.value,
        std=_STD.value,
        imports=imported_modules(),
    )
    rows = []
    for name in names:
        folder = pathlib.Path(_FOLDER.value, re.sub(r"[^\w.+-]+", "_", pathlib.Path(name).stem))
        if _AGAIN.value:
            (folder / ROW).unlink(missing_ok=True)
        measurement = Measurement(pathlib.Path(name), _DATA.value, folder, plan)
        if steps_left(measurement, read_row(folder)):
            _measure(name, folder, plan)
        if row := read_row(folder):
            rows.append(row)
    print((markdown_table if _MARKDOWN.value else text_table)(rows))
    for precision, median in median_latencies(rows).items():
        print(f"median of the {precision} files: {median:.2f}x the time of TensorFlow's")
    faults = [f"{row['model']}: {fault}" for row in rows for fault in faults_of(row)]
    if len(rows) < len(names):
        faults.append(f"{len(names) - len(rows)} of {len(names)} models have no row")
    for fault in faults:
        print(f"warning: {fault}", file=sys.stderr)
    if faults:
        raise cli.CheckError(f"{len(faults)} of the zoo's figures do not hold")


def _measure(name, folder, plan):
    settings = json.dumps(dataclasses.asdict(plan))
    command = [*own_module("tflite.zoo.worker"), name, str(folder), _DATA.value, settings]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment)
    if done.returncode:
        print(f"warning: {name}: its process ended with {done.returncode}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
