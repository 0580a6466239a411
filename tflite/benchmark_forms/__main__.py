"""What the deploy form gains on this machine: `python -m tflite.benchmark_forms --model=s0`.

Converts a CARE model four ways, the training form as it stands by TensorFlow's
converter and the deploy form by ours, each in float32 and int8, and times the
four files in interleaved rounds. With `--each_rewrite` it times the deploy form
against itself with one of its rewrites turned off, or on, for each of them; with
`--parts` the int8 file of a detector or segmenter part by part.
"""

import sys

from absl import flags

from care_keras.console import cli
from care_keras.console.import_flag import import_own_modules
from care_keras.console.outputs import output_folder
from care_keras.convert.backend import restart_under_tensorflow
from care_keras.convert.images import open_calibration_and_held_out, read_pixels
from care_keras.data.sources import check_source
from care_keras.models.ablations import CONFIGS, names_of_models
from care_keras.models.presets import check_name_or_path
from tflite.benchmark.engine import RoundPlan
from tflite.benchmark.latency import make_candidates, measure
from tflite.benchmark.litert_engine import LiteRTEngine
from tflite.benchmark.machine import describe_machine, load_average
from tflite.benchmark.tables import latency_table

_MODEL = flags.DEFINE_string(
    "model",
    "care_nano_cifar10",
    f"A .keras file, a bundled model, or with random weights {names_of_models()}.",
)
_THREADS = flags.DEFINE_multi_integer(
    "threads", [1, 2], "Threads of the CPU kernels; give several.", lower_bound=1
)
_ROUNDS = flags.DEFINE_integer("rounds", 10, "Rounds; a process per file in each.", lower_bound=3)
_SECONDS = flags.DEFINE_float("round_seconds", 0.3, "Time of a round, at least.", lower_bound=0)
_SAMPLES = flags.DEFINE_integer("samples", 16, "Calibration images.", lower_bound=1)
_CALIBRATION = flags.DEFINE_string(
    "calibration", "bundled", "Images of the int8 files: DIR, tfds:NAME, bundled."
)
_FOLDER = flags.DEFINE_string("folder", None, "Keep the files in this folder.")
_EACH_REWRITE = flags.DEFINE_bool(
    "each_rewrite", False, "Time what each rewrite of the deploy form gains."
)
_PARTS = flags.DEFINE_bool(
    "parts", False, "Time the backbone, the neck and the head of a detector or segmenter."
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of weights, orders and bootstrap.", lower_bound=0)


def main() -> None:
    """The command."""
    if _PARTS.value and _EACH_REWRITE.value:
        raise cli.UserError("give one of --parts and --each_rewrite, not both")
    if _MODEL.value not in CONFIGS:
        check_name_or_path(_MODEL.value)
    check_source(_CALIBRATION.value)
    restart_under_tensorflow()
    import_own_modules()
    with output_folder(_FOLDER.value) as folder:
        _run(folder)


def _run(folder):
    from tflite.benchmark_forms.both_forms import load_model, ratio_table, write_forms
    from tflite.benchmark_forms.parts import part_table, write_parts
    from tflite.benchmark_forms.rewrites import rewrite_table, write_rewrites

    model = load_model(_MODEL.value, _SEED.value)
    images = _calibration_images(model.preprocessing)
    write, table = write_forms, ratio_table
    if _EACH_REWRITE.value:
        write, table = write_rewrites, rewrite_table
    elif _PARTS.value:
        write, table = write_parts, part_table
    paths = write(model, images, folder)
    candidates = make_candidates(paths, list(dict.fromkeys(_THREADS.value)), {})
    engine = LiteRTEngine(seed=_SEED.value)
    candidates = [candidate for candidate in candidates if _runs(candidate, engine)]
    plan = RoundPlan(seconds=_SECONDS.value)
    latencies = measure(candidates, engine, plan, _ROUNDS.value, _SEED.value)
    print(f"\n{latency_table(latencies)}\n\n{table(latencies, _SEED.value)}\n")
    machine = describe_machine()
    print(
        f"{_MODEL.value}, {_ROUNDS.value} rounds, on {machine['cpu']} "
        f"({machine['usable_cpus']} CPUs, load {load_average()})"
    )


def _runs(candidate, engine):
    """Whether a file runs on random inputs: DIV of a plain int8 file gives up on some."""
    try:
        engine.check(candidate.run)
        return True
    except ValueError as error:
        print(f"warning: left out: {error}", file=sys.stderr)
        return False


def _calibration_images(preprocessing):
    source, _, _ = open_calibration_and_held_out(
        _CALIBRATION.value, None, _SAMPLES.value, 1, _SEED.value
    )
    return read_pixels(source, preprocessing, f"reading {source.name}")[0]


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
