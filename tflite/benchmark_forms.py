"""What the deploy form gains on this machine: `python -m tflite.benchmark_forms --model=s0`.

Converts a CARE model four ways, the training form as it stands by TensorFlow's
converter and the deploy form by ours, each in float32 and int8, and times the
four files in interleaved rounds.
"""

import contextlib
import pathlib
import sys
import tempfile

import keras
import numpy as np
from absl import flags

from care_keras import cli
from care_keras.convert.by_tensorflow import convert_by_tensorflow, restart_under_tensorflow
from care_keras.convert.converter import convert_model
from care_keras.convert.native_output import captured_native_output
from care_keras.data.preprocessing import resize_and_crop
from care_keras.data.sources import open_source
from care_keras.models import CONFIGS, build_model
from care_keras.models.loading import load_any
from care_keras.progress import progress
from care_keras.table import format_table
from tflite.latency import Latency, make_candidates, measure
from tflite.latency_engine import RoundPlan
from tflite.latency_statistics import paired_ratio
from tflite.latency_tables import latency_table
from tflite.litert_engine import LiteRTEngine
from tflite.machine import describe_machine, load_average

_MODEL = flags.DEFINE_string(
    "model",
    "care_nano_cifar10",
    f"A .keras file, a bundled model, or one of {', '.join(sorted(CONFIGS))} with random weights.",
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
_FOLDER = flags.DEFINE_string("folder", None, "Keep the four files in this folder.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of weights, orders and bootstrap.", lower_bound=0)

_FILES = ("training_float32", "training_int8", "deploy_float32", "deploy_int8")
# What is said of each number of threads: the time of the first in units of the second.
_RATIOS = (
    ("deploy_float32", "training_float32"),
    ("deploy_int8", "training_int8"),
    ("deploy_int8", "deploy_float32"),
    ("deploy_int8", "training_float32"),
)


def main() -> None:
    """The command."""
    try:
        with contextlib.ExitStack() as stack:
            folder = _FOLDER.value or stack.enter_context(tempfile.TemporaryDirectory())
            _run(pathlib.Path(folder))
    except ValueError as error:
        raise cli.UserError(str(error)) from error
    except OSError as error:
        raise cli.UserError(f"cannot write: {error}") from error


def _run(folder):
    folder.mkdir(parents=True, exist_ok=True)
    model = load_model(_MODEL.value, _SEED.value)
    paths = write_forms(model, _calibration_images(model.preprocessing), folder)
    candidates = make_candidates(paths, list(dict.fromkeys(_THREADS.value)), {})
    engine = LiteRTEngine(seed=_SEED.value)
    candidates = [candidate for candidate in candidates if _runs(candidate, engine)]
    plan = RoundPlan(seconds=_SECONDS.value)
    latencies = measure(candidates, engine, plan, _ROUNDS.value, _SEED.value)
    print(f"\n{latency_table(latencies)}\n\n{ratio_table(latencies, _SEED.value)}\n")
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


def load_model(name: str, seed: int) -> keras.Model:
    """A model by its file or name; a config's name gives random weights.

    Time does not depend on trained values, but on activations that are neither
    all zero nor overflow: kernels are drawn so that layers keep their scale.
    """
    if name not in CONFIGS:
        return load_any(name)
    record = CONFIGS[name].preprocessing
    model = build_model(CONFIGS[name], weights=None, input_shape=(record.height, record.width, 3))
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        if len(weight.shape) > 1:
            fan_in = np.prod(weight.shape[:-1]) if weight.shape[-1] > 1 else weight.shape[0] ** 2
            weight.assign(generator.normal(size=weight.shape) / np.sqrt(fan_in))
        elif "layer_scale" in weight.path:
            weight.assign(generator.uniform(0.2, 0.7, weight.shape))
    return model


def _calibration_images(preprocessing):
    source = open_source(_CALIBRATION.value, "train").sample(_SAMPLES.value, _SEED.value)
    return np.stack(
        [resize_and_crop(source[i], preprocessing) for i in progress(range(len(source)), "image")]
    )


def write_forms(model: keras.Model, images: np.ndarray, folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes the four files, in the order of `_FILES`.

    Args:
        model: A CARE model with a preprocessing record.
        images: uint8 `(images, height, width, 3)` that set int8 ranges.
        folder: Where to.

    Raises:
        ValueError: If one cannot be made.
    """
    paths = []
    for name in _FILES:
        print(f"converting: {name}", file=sys.stderr, flush=True)
        form, precision = name.split("_")
        convert = convert_by_tensorflow if form == "training" else _deploy
        calibration = iter(images) if precision == "int8" else None
        with captured_native_output():
            content = convert(model, model.preprocessing, precision, calibration=calibration)
        paths.append(folder / f"{name}.tflite")
        paths[-1].write_bytes(content)
    return paths


def _deploy(model, preprocessing, precision, calibration):
    return convert_model(model, preprocessing, precision, calibration=calibration).content


def ratio_table(latencies: list[Latency], seed: int) -> str:
    """Ratios of the forms' times, paired by round, with their 95 % intervals."""
    generator = np.random.default_rng(seed)
    found = {(one.label.removesuffix(".tflite"), one.run.threads): one for one in latencies}
    rows = []
    for threads in dict.fromkeys(one.run.threads for one in latencies):
        for first, second in _RATIOS:
            if not {(first, threads), (second, threads)} <= found.keys():
                rows.append([first, second, threads, None, "one does not run"])
                continue
            centers = [found[name, threads].centers_ms for name in (first, second)]
            ratio = paired_ratio(*centers, generator)
            interval = f"{ratio.low:.3f} to {ratio.high:.3f}"
            rows.append([first, second, threads, f"{ratio.value:.3f}x", interval])
    return format_table(["time of", "in units of", "threads", "ratio", "95 % interval"], rows)


if __name__ == "__main__":
    restart_under_tensorflow()
    cli.run(main)
