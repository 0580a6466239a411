"""A .tflite file in MediaPipe Tasks: `python -m tflite.mediapipe --model=M.tflite`.

Runs images there, in ImageClassifier, ObjectDetector or ImageSegmenter, as the JSON
beside the file says what it is for, and in LiteRT, and compares classes and scores,
boxes, or the classes of pixels: exit code 1 where they differ, or where MediaPipe
does not take the file. It is what an app with MediaPipe Tasks would see. Needs the
extra `mediapipe`.
"""

import pathlib

from absl import flags

from care_keras.console import cli
from care_keras.console.optional import require_installed
from care_keras.console.table import format_table
from care_keras.data.image_flags import input_overrides
from care_keras.data.sources import open_source
from care_keras.litert.model import runtime_version
from tflite.inputs.model_inputs import read_model_input
from tflite.mediapipe.comparisons import COMPARISONS
from tflite.mediapipe.litert import run_on_images
from tflite.mediapipe.run import RefusedError

_MODEL = flags.DEFINE_multi_string("model", None, "A .tflite file; give several.", required=True)
_DATA = flags.DEFINE_string("data", "bundled", "Images: DIR, tfds:NAME[:SPLIT] or bundled.")
_SAMPLES = flags.DEFINE_integer("samples", 600, "Images, at most.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of their draw.", lower_bound=0)
_TOLERANCE = flags.DEFINE_float(
    "tolerance", 1e-4, "Scores may differ by so much of the largest.", lower_bound=0.0
)
_TIMEOUT = flags.DEFINE_float("timeout", 600, "Seconds for each file.", lower_bound=0.1)


def main() -> None:
    """The command."""
    # It is the worker that imports it.
    require_installed("mediapipe", "mediapipe")
    overrides = input_overrides()
    source = open_source(_DATA.value, "test").sample(_SAMPLES.value, _SEED.value)
    found, failures = [], []
    for path in map(pathlib.Path, dict.fromkeys(_MODEL.value)):
        model_input = read_model_input(path, overrides)
        task = (model_input.task or {}).get("name")
        if task not in COMPARISONS:
            raise ValueError(f"MediaPipe has no such task. Received: {task[:40]!r} of {path}")
        litert = run_on_images(path, model_input, source)
        try:
            one = COMPARISONS[task].of(litert, _TIMEOUT.value)
        except RefusedError as error:
            failures.append(str(error))
            continue
        found.append(one)
        failure = one.failure(_TOLERANCE.value)
        if failure is not None:
            failures.append(f"{one.name}: {failure}")
    for kind in COMPARISONS.values():
        rows = [one for one in found if isinstance(one, kind)]
        if rows:
            print(f"\n{_table(kind, rows)}")
    if found:
        print(f"\nMediaPipe {found[0].version}, against LiteRT {runtime_version()}")
    if failures:
        raise cli.CheckError("; ".join(failures))


def _table(kind, found):
    headers = ["model", "images", *kind.headers, "class names"]
    rows = [
        [one.name, one.images, *one.cells, "in the file" if one.labels else "none"] for one in found
    ]
    return format_table(headers, rows)


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
