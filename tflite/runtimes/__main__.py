"""A .tflite file in other runtimes and on other processors: `python -m tflite.runtimes`.

Each `--python` is the Python of an environment with NumPy and another version of
LiteRT (`ai-edge-litert`) or of its predecessor (`tflite-runtime`); `--on` names what
is emulated here or is no LiteRT: ARM64 cores with one thread and with four, LiteRT's
GPU accelerator, Qualcomm's NPU, OpenVINO's CPU plugin. Runs files there on photos and
extreme images and compares with this environment's runtime: equal, within some codes,
or wrong. Exit code 1 where a file does not run, or gives something else on photos.
Times are wall times, to tell fast from slow by.
"""

import contextlib
import json
import os
import pathlib
import shutil

from absl import flags

from care_keras.console import cli
from care_keras.console.flag_values import parse_counts
from care_keras.console.outputs import write_output
from care_keras.data.image_flags import input_overrides
from care_keras.files import check_readable
from tflite.arm64 import pins
from tflite.inputs.json_output import json_output

_MODEL = flags.DEFINE_multi_string("model", None, "A .tflite file; give several.", required=True)
_PYTHON = flags.DEFINE_multi_string(
    "python", None, "The Python of an environment with another runtime; several."
)
_ON = flags.DEFINE_multi_enum(
    "on", None, ["arm64", "gpu", "npu", "openvino"], "What else to run on; several."
)
_CORE = flags.DEFINE_multi_string(
    "core", list(pins.DEFAULT_CORES), "An ARM64 core as qemu names it; several."
)
_THREADS = flags.DEFINE_list("threads", ["1", "4"], "Threads on ARM64, as 1,4.")
_SOC = flags.DEFINE_string("soc", "SM8650", "Qualcomm's SoC.")
_DATA = flags.DEFINE_string("data", "bundled", "Photos: DIR, tfds:NAME[:SPLIT] or bundled.")
_INPUTS = flags.DEFINE_integer(
    "inputs", 200, "Images: constant, single pixel, noise, photo in turn.", lower_bound=4
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the images.", lower_bound=0)
_MIN_AGREEMENT = flags.DEFINE_float(
    "min_agreement",
    0.9,
    "Share of answers on photos (classes, pixels, boxes) that both must have in common.",
    lower_bound=0.0,
    upper_bound=1.0,
)
_MIN_SNR_DB = flags.DEFINE_float(
    "min_snr_db", 10.0, "SNR in dB of each output on photos, below which a runtime is wrong."
)
_TIMEOUT = flags.DEFINE_float("timeout", 120, "Seconds for one inference.", lower_bound=0.1)
_OUTPUT_JSON = flags.DEFINE_string("output_json", None, "A file to write the results to.")


def main() -> None:
    """The command."""
    output_json = json_output(_OUTPUT_JSON.value, _MODEL.value)
    overrides = input_overrides()
    threads = parse_counts("threads", _THREADS.value)
    pythons = [_python(name) for name in dict.fromkeys(_PYTHON.value or [])]
    if not pythons and not _ON.value:
        raise cli.UserError("nothing to compare with: give --python=PYTHON, or --on=arm64")
    paths = [pathlib.Path(name) for name in dict.fromkeys(_MODEL.value)]
    for path in paths:
        check_readable(path)
    from tflite.inputs.real_and_extreme import make_inputs
    from tflite.runtimes import sides
    from tflite.runtimes.results import Limits, format_results, make_result

    limits = Limits(_MIN_AGREEMENT.value, _MIN_SNR_DB.value)
    results = []
    with contextlib.ExitStack() as stack:
        others = [sides.of_python(python, _TIMEOUT.value) for python in pythons]
        others += _sides(stack, threads)
        for path in paths:
            inputs = make_inputs(path, _DATA.value, _INPUTS.value, _SEED.value, overrides)
            here = sides.here(_TIMEOUT.value)
            reference = here.run(path, inputs)
            if reference.error:
                raise ValueError(reference.error)
            results.append(make_result(path, inputs, here, reference, reference, limits))
            for side in others:
                run = side.run(path, inputs)
                results.append(make_result(path, inputs, side, reference, run, limits))
    print(
        f"\n{format_results(results)}\n\n"
        f"against the first row of each file, on {_INPUTS.value} images"
    )
    if output_json:
        write_output(output_json, json.dumps([x.to_dict() for x in results], indent=1) + "\n")
    failed = [
        f"{one.model} in {one.runtime}: {one.run.error or one.verdict}"
        for one in results
        if not one.passed
    ]
    if failed:
        raise cli.CheckError("; ".join(failed))


def _sides(stack, threads):
    from tflite.runtimes import sides

    found, asked = [], _ON.value or []
    if "arm64" in asked:
        cores = dict.fromkeys(_CORE.value)
        found += stack.enter_context(sides.arm64(list(cores), threads, _TIMEOUT.value))
    if "gpu" in asked:
        found.append(sides.gpu(_TIMEOUT.value))
    if "npu" in asked:
        found.append(sides.npu(_SOC.value, _TIMEOUT.value))
    if "openvino" in asked:
        found.append(sides.openvino(_TIMEOUT.value))
    return found


def _python(name):
    found = shutil.which(name)
    if found is None:
        raise cli.UserError(f"--python: there is no program {name}")
    # Through links, an environment's Python would be another one.
    return os.path.abspath(found)


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
