"""A .tflite file against its Keras model: `python -m tflite.compare --keras=K --model=M.tflite`.

Both run on real images: end to end, as phones run the file, and layer by layer
where names can be matched. Exit code 1 if they do not agree; the line says
which layer goes wrong first.
"""

import json
import os
import pathlib

from absl import flags

from care_keras.console import cli
from care_keras.console.import_flag import import_own_modules
from care_keras.console.outputs import output_file, write_output
from care_keras.data.sources import check_source
from care_keras.models.presets import check_name_or_path
from care_keras.tflite_file.reader import read_graph
from tflite.inputs.flags import input_overrides

_KERAS = flags.DEFINE_string(
    "keras",
    None,
    "The Keras model: a .keras file (training form, deploy form, quantized form or any other "
    "model) or a bundled model's name.",
    required=True,
)
_MODEL = flags.DEFINE_string("model", None, "The .tflite file.", required=True)
_DATA = flags.DEFINE_string("data", "bundled", "Images: DIR, tfds:NAME[:SPLIT] or bundled.")
_SAMPLES = flags.DEFINE_integer(
    "samples",
    None,
    "Images for the outputs, at most (default: 2441 of 32x32, 50 of 224x224).",
    lower_bound=1,
)
_LAYER_SAMPLES = flags.DEFINE_integer(
    "layer_samples", 16, "Images among them for the layers.", lower_bound=1
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the draw of --samples.", lower_bound=0)
_THREADS = flags.DEFINE_integer("threads", 1, "Threads of the CPU kernels.", lower_bound=1)
_MIN_AGREEMENT = flags.DEFINE_float(
    "min_agreement",
    None,
    "Share of images with the same largest output that is asked for (default: 0.98; of int8 "
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
    output_json = output_file("output_json", _OUTPUT_JSON.value, (".json",))
    check_name_or_path(_KERAS.value)
    overrides = input_overrides()
    read_graph(_MODEL.value)
    check_source(_DATA.value)
    # There is no use for a GPU, and TensorFlow's search for one prints errors.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    from care_keras.data.sources import open_source
    from tflite.compare.comparison import compare
    from tflite.compare.opened import open_pair
    from tflite.compare.tensors import FileFailsError
    from tflite.compare.text import format_comparison, to_dict, verdict

    import_own_modules()
    try:
        pair = open_pair(_KERAS.value, _MODEL.value, overrides, _THREADS.value)
        source = open_source(_DATA.value, "test")
        source = source.sample(_SAMPLES.value or pair.affordable_images, _SEED.value)
        result = compare(pair, source, _LAYER_SAMPLES.value, _MIN_SNR_DB.value)
    except FileFailsError as error:
        raise cli.CheckError(f"{_MODEL.value}: {error}") from error
    min_agreement = pair.min_agreement if _MIN_AGREEMENT.value is None else _MIN_AGREEMENT.value
    failure = verdict(result, min_agreement)
    print(f"\n{format_comparison(pair, result, _LAYERS.value)}")
    print(f"{source.name}; {_versions()}")
    if output_json:
        settings = {
            "keras": _KERAS.value,
            "model": _MODEL.value,
            "data": source.name,
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
