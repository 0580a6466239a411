"""Both forms of a CARE model as .tflite files, and how their times compare."""

import pathlib
import sys

import keras
import numpy as np

from care_keras.console.native_output import captured_native_output
from care_keras.console.table import format_table
from care_keras.convert.by_tensorflow import convert_by_tensorflow
from care_keras.convert.conversion import convert_model
from care_keras.loading import load_any
from care_keras.models import CONFIGS, build_model
from tflite.benchmark.latency import Latency
from tflite.benchmark.statistics import paired_ratio
from tflite.benchmark.tables import interval

FILES = ("training_float32", "training_int8", "deploy_float32", "deploy_int8")
# What is said of each number of threads: the time of the first in units of the second.
RATIOS = (
    ("deploy_float32", "training_float32"),
    ("deploy_int8", "training_int8"),
    ("deploy_int8", "deploy_float32"),
    ("deploy_int8", "training_float32"),
)


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


def write_forms(model: keras.Model, images: np.ndarray, folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes the four files, in the order of `FILES`.

    Args:
        model: A CARE model with a preprocessing record.
        images: uint8 `(images, height, width, 3)` that set int8 ranges.
        folder: Where to.

    Raises:
        ValueError: If one cannot be made.
    """
    paths = []
    for name in FILES:
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
        for first, second in RATIOS:
            if not {(first, threads), (second, threads)} <= found.keys():
                rows.append([first, second, threads, None, "one does not run"])
                continue
            centers = [found[name, threads].centers_ms for name in (first, second)]
            ratio = paired_ratio(*centers, generator)
            rows.append([first, second, threads, f"{ratio.value:.3f}x", interval(ratio, 3)])
    return format_table(["time of", "in units of", "threads", "ratio", "95 % interval"], rows)
