"""A .tflite file against its Keras model: `python -m tflite.compare --keras=K --model=M.tflite`.

Both run on real images, or on arrays of any inputs: end to end, as phones run the
file, and layer by layer where names can be matched. Exit code 1 if they do not agree; the line says
which layer goes wrong first.
"""

import json
import os
import pathlib

from absl import flags

from care_keras.console import cli
from care_keras.console.import_flag import import_own_modules
from care_keras.console.outputs import write_output
from care_keras.console.progress import say
from care_keras.convert.job import is_array_file
from care_keras.data.image_flags import input_overrides
from care_keras.data.overrides import InputOverrides
from care_keras.data.sources import check_source
from care_keras.files import check_readable
from care_keras.models.presets import check_name_or_path
from care_keras.tflite_file.reader import read_graph
from tflite.inputs.json_output import json_output

_KERAS = flags.DEFINE_string(
    "keras",
    None,
    "The Keras model: a .keras file (training form, deploy form, quantized form or any other "
    "model) or a bundled model's name.",
    required=True,
)
_MODEL = flags.DEFINE_string("model", None, "The .tflite file.", required=True)
_DATA = flags.DEFINE_string(
    "data",
    "bundled",
    "Images: DIR, tfds:NAME[:SPLIT] or bundled; or FILE.npz with an array (examples, ...) of what "
    "it takes named after each input of the Keras model.",
)
_SAMPLES = flags.DEFINE_integer(
    "samples",
    None,
    "Images, or examples, for the outputs, at most (default: 2441 of 32x32, 50 of 224x224).",
    lower_bound=1,
)
_LAYER_SAMPLES = flags.DEFINE_integer(
    "layer_samples", 16, "How many among them for the layers.", lower_bound=1
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the draw of --samples.", lower_bound=0)
_THREADS = flags.DEFINE_integer("threads", 1, "Threads of the CPU kernels.", lower_bound=1)
_MIN_AGREEMENT = flags.DEFINE_float(
    "min_agreement",
    None,
    "Share of them with the same largest output that is asked for (default: 0.98; of int8 "
    "against a float model 0.9).",
    lower_bound=0.0,
    upper_bound=1.0,
)
_MIN_SNR_DB = flags.DEFINE_float(
    "min_snr_db",
    None,
    "Signal-to-noise ratio that each layer has to reach by itself, where its error is more than "
    "rounding (default: float32 60; float16 40; int8 30 against the quantized form, 15 against a "
    "float model).",
)
_LAYERS = flags.DEFINE_bool("layers", False, "List all layers.")
_OUTPUT_JSON = flags.DEFINE_string("output_json", None, "A file to write all of it to, as JSON.")


def main() -> None:
    """The command."""
    # Before minutes of work, not after.
    output_json = json_output(_OUTPUT_JSON.value, [_MODEL.value])
    check_name_or_path(_KERAS.value)
    overrides = input_overrides()
    read_graph(_MODEL.value)
    if is_array_file(_DATA.value):
        check_readable(_DATA.value)
        if overrides != InputOverrides():
            raise cli.UserError(
                "how images are prepared is of no use to arrays, which hold what the model takes: "
                f"--data={_DATA.value}"
            )
    else:
        check_source(_DATA.value)
    # There is no use for a GPU, and TensorFlow's search for one prints errors.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    from care_keras.data.sources import open_source
    from tflite.compare.comparison import compare
    from tflite.compare.feeds import ArrayFeed, ImageFeed
    from tflite.compare.opened import open_pair, open_pair_of_arrays
    from tflite.compare.tensors import FileFailsError
    from tflite.compare.text import format_comparison, to_dict, verdict

    import_own_modules()
    try:
        if is_array_file(_DATA.value):
            pair, arrays = open_pair_of_arrays(
                _KERAS.value, _MODEL.value, _DATA.value, _THREADS.value
            )
            feed = ArrayFeed(pair, arrays, _DATA.value)
        else:
            pair = open_pair(_KERAS.value, _MODEL.value, overrides, _THREADS.value)
            feed = ImageFeed(pair, open_source(_DATA.value, "test"))
        feed = feed.sample(_SAMPLES.value or pair.affordable_examples, _SEED.value)
        result = compare(pair, feed, _LAYER_SAMPLES.value, _MIN_SNR_DB.value)
    except FileFailsError as error:
        raise cli.CheckError(f"{_MODEL.value}: {error}") from error
    if pair.noise_inputs:
        say(
            f"warning: {', '.join(pair.noise_inputs)}: fed noise, as photos say nothing of it; "
            "--data=FILE.npz has arrays for all inputs"
        )
    for name, share in feed.outside.items():
        say(
            f"warning: {share:.2%} of the values of {name!r} are outside the range that the file "
            "was calibrated for, and are cut off"
        )
    min_agreement = pair.min_agreement if _MIN_AGREEMENT.value is None else _MIN_AGREEMENT.value
    failure = verdict(result, min_agreement)
    print(f"\n{format_comparison(pair, result, _LAYERS.value)}")
    print(f"{feed.name}; {_versions()}")
    if output_json:
        settings = {
            "keras": _KERAS.value,
            "model": _MODEL.value,
            "data": feed.name,
            "seed": _SEED.value,
            "threads": _THREADS.value,
            "min_agreement": min_agreement,
        }
        content = json.dumps(to_dict(pair, result, settings, failure), indent=1)
        write_output(output_json, content + "\n")
    if failure:
        raise cli.CheckError(f"{pathlib.Path(_MODEL.value).name}: {failure}")


def _versions():
    import keras

    from care_keras.litert.model import runtime_version

    return (
        f"Keras {keras.__version__} on {keras.backend.backend()}, LiteRT {runtime_version()}, on "
        "this machine's CPU"
    )


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
