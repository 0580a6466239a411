"""Makes the int8 file of litert-quantizer: `python -m tflite.zoo.min_max --model=float32.tflite`.

Static int8 with ranges of smallest and largest values, calibrated on the images
that `care_keras.convert --int8` takes of the same --calibration and --samples:
what our files are held against, with `tflite.evaluate`. Needs the extra `zoo`.
"""

import json
import pathlib

from absl import flags

from care_keras.console import cli
from care_keras.console.optional import require_installed
from care_keras.console.outputs import output_file
from care_keras.data.image_flags import input_overrides
from care_keras.data.sidecar import sidecar_path
from care_keras.data.sources import check_source
from care_keras.files import atomic_path, check_readable, write_atomically

_MODEL = flags.DEFINE_string(
    "model", None, "A float32 .tflite of `care_keras.convert`.", required=True
)
_CALIBRATION = flags.DEFINE_string("calibration", "bundled", "DIR, tfds:NAME[:SPLIT] or bundled.")
_SAMPLES = flags.DEFINE_integer("samples", 100, "Images of it.", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", "min_max.tflite", "The int8 file.")

# What the float file's JSON says that holds for its int8 file as well.
_OF_IMAGES = ("input", "preprocessing", "model_preprocessing", "labels")


def main() -> None:
    """The command."""
    check_readable(_MODEL.value)
    check_source(_CALIBRATION.value)
    output = output_file("output", _OUTPUT.value, (".tflite",))
    overrides = input_overrides()
    require_installed("litert_quantizer", "zoo")
    from care_keras.convert.images import open_calibration_and_held_out, read_pixels
    from tflite.inputs.model_inputs import read_model_input
    from tflite.zoo import litert_quantizer

    model_input = read_model_input(_MODEL.value, overrides)
    source, _, _ = open_calibration_and_held_out(_CALIBRATION.value, None, _SAMPLES.value, 1, 0)
    pixels, _ = read_pixels(source, model_input.preprocessing, f"reading {source.name}")
    with atomic_path(output) as path:
        litert_quantizer.quantize(pathlib.Path(_MODEL.value), model_input.values(pixels), path)
    sidecar = sidecar_path(_MODEL.value)
    if sidecar.is_file():
        about = json.loads(sidecar.read_text())
        kept = {name: about[name] for name in _OF_IMAGES if name in about}
        write_atomically(sidecar_path(output), json.dumps(kept, indent=2) + "\n")
    print(f"wrote {output}")


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
