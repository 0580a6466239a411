"""A .tflite file under the phones' instruction set: `python -m tflite.arm64 --model=M.tflite`.

Runs the ARM64 build of LiteRT in qemu's user-mode emulation of several core
types, with one thread and with several, on photos and extreme images, and
compares with what this machine's LiteRT gives with one: equal, within a few
codes, or wrong (exit code 1). `--fp16` runs float files in half precision and
holds their classes against float32's. `--count` counts the executed instructions of
one inference instead; with `--compare` exit code 1 where there are more than before.
`--setup` fetches the emulator, an ARM64 Python and the runtime into a cache folder.
"""

import json
import pathlib

from absl import flags

from care_keras.console import cli
from care_keras.console.flag_values import parse_counts
from care_keras.console.outputs import write_output
from care_keras.data.image_flags import input_overrides
from care_keras.files import check_readable, user_cache
from tflite.arm64 import pins
from tflite.arm64.cache import Cache
from tflite.arm64.count import command as counting
from tflite.inputs.json_output import json_output
from tflite.inputs.odd_inputs import FAMILIES

_MODEL = flags.DEFINE_multi_string("model", None, "A .tflite file; give several.")
_SETUP = flags.DEFINE_bool(
    "setup", False, "Download what is missing (on Debian or Ubuntu; needs no root), then go on."
)
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", None, "Where that is (default: care_keras/arm64 in the user's cache folder)."
)
_RUNTIME = flags.DEFINE_multi_enum(
    "runtime",
    [pins.DEFAULT_RUNTIME],
    list(pins.RUNTIMES),
    "Version of the ARM64 runtime; give several.",
)
_CORE = flags.DEFINE_multi_string(
    "core",
    list(pins.DEFAULT_CORES),
    "A core type as qemu names it (qemu-aarch64 -cpu help); several.",
)
_THREADS = flags.DEFINE_list("threads", ["1", "2", "4"], "Threads of the kernels, as 1,2,4.")
_INPUTS = flags.DEFINE_integer(
    "inputs",
    None,
    "Images: constant, single pixel, noise, photo in turn (default: 24); with --fp16 one of each, "
    "then photos (default: 103).",
    lower_bound=len(FAMILIES),
)
_DATA = flags.DEFINE_string("data", "bundled", "Photos: DIR, tfds:NAME[:SPLIT] or bundled.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the images.", lower_bound=0)
_MAX_CODES = flags.DEFINE_integer(
    "max_codes", 0, "Integer outputs may differ by so many codes.", lower_bound=0
)
_TOLERANCE = flags.DEFINE_float(
    "tolerance", 1e-4, "Float outputs may differ by so much of their largest.", lower_bound=0.0
)
_TIMEOUT = flags.DEFINE_float("timeout", 300, "Seconds for one inference.", lower_bound=0.01)
_OPERATORS = flags.DEFINE_bool(
    "operators", False, "Where outputs are not equal: at which operators they part, on 4 images."
)
_FP16 = flags.DEFINE_bool(
    "fp16",
    False,
    "Run float files in half precision: exit code 1 where less than 99 % of the photos keep "
    "float32's class, or an output is not finite. Cores without such arithmetic are left out, and "
    "one thread runs, unless --core and --threads are given.",
)
_OUTPUT_JSON = flags.DEFINE_string("output_json", None, "A file to write the results to.")


def main() -> None:
    """The command."""
    count = counting.is_asked()
    if count:
        counting.check_names(_models())
    compared = counting.read_compared(bool(_MODEL.value)) if count else []
    if not _MODEL.value and not _SETUP.value and len(compared) != 2:
        raise cli.UserError("nothing to do: give --model=FILE.tflite, or --setup")
    threads = parse_counts("threads", _THREADS.value)
    folder = pathlib.Path(_CACHE_DIR.value) if _CACHE_DIR.value else user_cache("arm64")
    output_json = json_output(_OUTPUT_JSON.value, _MODEL.value or ())
    overrides = input_overrides()
    for name in _MODEL.value or []:
        check_readable(name)
    if _FP16.value and (_OPERATORS.value or count):
        other = "count" if count else "operators"
        raise cli.UserError(f"--fp16 and --{other} do not go together")
    cache = Cache(folder)
    if _SETUP.value:
        _set_up(cache, count)
    if count:
        records = _count(cache, overrides) if _MODEL.value else []
        counting.finish(records, compared, output_json)
    elif _MODEL.value:
        _check(cache, threads, overrides, output_json)


def _set_up(cache, count):
    from tflite.arm64.count.setup import set_up_counting
    from tflite.arm64.setup import set_up

    for runtime in _RUNTIME.value:
        set_up(cache, runtime, print)
    try:
        set_up_counting(cache, print)
    except ValueError as error:
        # Who does not count needs no compiler.
        if count:
            raise
        print(f"warning: {error}")
    print(f"set up in {cache.folder}: runtime {', '.join(_RUNTIME.value)}")


def _emulators(cache):
    from tflite.arm64.emulator import find_emulator

    return {name: find_emulator(cache, name) for name in dict.fromkeys(_RUNTIME.value)}


def _models():
    return [pathlib.Path(name) for name in dict.fromkeys(_MODEL.value or [])]


def _count(cache, overrides):
    from tflite.arm64.count.files import CountSettings, count_files
    from tflite.arm64.count.setup import find_counter

    settings = CountSettings(
        cores=list(dict.fromkeys(_CORE.value)),
        data=_DATA.value,
        seed=_SEED.value,
        overrides=overrides,
        timeout_seconds=_TIMEOUT.value,
        operators=counting.with_operators(),
    )
    return count_files(_models(), _emulators(cache), find_counter(cache), settings)


def _check(cache, threads, overrides, output_json):
    from tflite.arm64.check import CheckSettings, check_file

    cores, images = _CORE.value, _INPUTS.value or 24
    if _FP16.value:
        from tflite.arm64.half_precision import check_half_precision as check_file

        images = _INPUTS.value or 103
        cores = cores if flags.FLAGS["core"].present else pins.HALF_PRECISION_CORES
        threads = threads if flags.FLAGS["threads"].present else [1]
    settings = CheckSettings(
        cores=list(dict.fromkeys(cores)),
        threads=threads,
        data=_DATA.value,
        images=images,
        seed=_SEED.value,
        overrides=overrides,
        max_codes=_MAX_CODES.value,
        tolerance=_TOLERANCE.value,
        timeout_seconds=_TIMEOUT.value,
        operators=_OPERATORS.value,
    )
    records, wrong = [], []
    emulators = _emulators(cache)
    for path in _models():
        record, failed = check_file(path, emulators, settings)
        records.append(record)
        wrong += failed
    if output_json:
        write_output(output_json, json.dumps(records, indent=1) + "\n")
    if wrong:
        if _FP16.value:
            raise cli.CheckError(f"half precision does not hold: {'; '.join(wrong)}")
        raise cli.CheckError(
            f"ARM64 does not give what the host gives, or fails: {'; '.join(wrong)}"
        )


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
