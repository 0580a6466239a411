"""Accuracy of a .tflite file on labelled images: `python -m tflite.evaluate --model=M.tflite`.

The preprocessing is that of the JSON which `care_keras.convert` writes beside
the file.
"""

import pathlib

from absl import flags

from care_keras import cli
from care_keras.convert.images import read_pixels
from care_keras.data.sources import open_source
from care_keras.litert import LiteRTModel, runtime_version
from care_keras.table import format_table
from tflite.accuracy import evaluate
from tflite.model_inputs import read_model_input

_MODEL = flags.DEFINE_string("model", None, "The .tflite file.", required=True)
_DATA = flags.DEFINE_string(
    "data", "bundled", "Labelled images: DIR, tfds:NAME[:SPLIT] or bundled."
)
_SAMPLES = flags.DEFINE_integer("samples", None, "Images, at most (default: all).", lower_bound=1)
_THREADS = flags.DEFINE_integer("threads", 1, "Threads of the CPU kernels.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the draw of --samples.")


def main() -> None:
    """The command."""
    path = pathlib.Path(_MODEL.value)
    try:
        model_input = read_model_input(path)
        input_kind, preprocessing = model_input.kind, model_input.preprocessing
        model = LiteRTModel(path, num_threads=_THREADS.value)
        source = open_source(_DATA.value, "test")
        if source.labels is None:
            raise ValueError(f"{source.name} has no labels to evaluate with")
        source = source.sample(_SAMPLES.value or len(source), _SEED.value)
        pixels, labels = read_pixels(source, preprocessing, f"reading {source.name}")
        result = evaluate(model, input_kind, preprocessing, pixels, labels)
    except ValueError as error:
        raise cli.UserError(str(error)) from error
    low, high = result.top1_interval
    top5 = None if result.top5 is None else f"{result.top5:.2%}"
    print()
    print(
        format_table(
            ["model", "images", "top-1", "95 % interval", "top-5"],
            [[path.name, result.images, f"{result.top1:.2%}", f"{low:.2%} to {high:.2%}", top5]],
        )
    )
    print(f"\n{source.name}, LiteRT {runtime_version()}, XNNPACK, on this machine's CPU")


if __name__ == "__main__":
    cli.run(main)
