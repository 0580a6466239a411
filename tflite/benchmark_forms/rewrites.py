"""What each rewrite of the deploy form gains: the form as it is, and with one turned over."""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence

import keras
import numpy as np

from care_keras.console.native_output import captured_native_output
from care_keras.console.table import format_table
from care_keras.convert.conversion import convert_model, default_rewrites
from care_keras.deploy import fuse
from tflite.benchmark.latency import Latency
from tflite.benchmark.statistics import paired_ratio
from tflite.benchmark.tables import interval

PRECISIONS = ("float32", "int8")
# All but what CARE has no layers for.
REWRITES = tuple(
    field.name
    for field in dataclasses.fields(default_rewrites("float32"))
    if field.name != "offset_by_add"
)


def file_name(precision: str, rewrite: str | None) -> str:
    """`int8_default.tflite`, or `int8_without_merge_heads.tflite`; `with` if it is off else."""
    if rewrite is None:
        return f"{precision}_default.tflite"
    default = getattr(default_rewrites(precision), rewrite)
    return f"{precision}_{'without' if default else 'with'}_{rewrite}.tflite"


def write_rewrites(
    model: keras.Model, images: np.ndarray, folder: pathlib.Path
) -> list[pathlib.Path]:
    """Writes the deploy form and, for each rewrite, the form with that one turned over.

    Args:
        model: A CARE model of the training form with a preprocessing record.
        images: uint8 `(images, height, width, 3)` that set int8 ranges.
        folder: Where to.

    Returns:
        The files, those of a precision together and its default first, without
        those that int8 cannot express.

    Raises:
        ValueError: If one cannot be made.
    """
    paths = []
    for precision in PRECISIONS:
        default = default_rewrites(precision)
        for rewrite in (None, *REWRITES):
            path = folder / file_name(precision, rewrite)
            print(f"converting: {path.stem}", file=sys.stderr, flush=True)
            turned = {} if rewrite is None else {rewrite: not getattr(default, rewrite)}
            deployed = fuse(model, dataclasses.replace(default, **turned))
            calibration = iter(images) if precision == "int8" else None
            try:
                with captured_native_output():
                    converted = convert_model(
                        deployed, model.preprocessing, precision, calibration=calibration
                    )
            except ValueError as error:
                # BatchNorm and division as operations of their own have no int8 form.
                if rewrite is None or precision == "float32":
                    raise
                print(f"warning: left out: {error}", file=sys.stderr)
                continue
            path.write_bytes(converted.content)
            paths.append(path)
    return paths


def rewrite_table(latencies: Sequence[Latency], seed: int) -> str:
    """Time with each rewrite in units of the time without it, paired by round."""
    generator = np.random.default_rng(seed)
    found = {(one.label, one.run.threads): one.centers_ms for one in latencies}
    rows = []
    for threads in dict.fromkeys(one.run.threads for one in latencies):
        for precision in PRECISIONS:
            default = default_rewrites(precision)
            for rewrite in REWRITES:
                used = getattr(default, rewrite)
                start = [rewrite, precision, "yes" if used else "no", threads]
                labels = file_name(precision, None), file_name(precision, rewrite)
                if not {(label, threads) for label in labels} <= found.keys():
                    rows.append([*start, None, "has no such form, or does not run"])
                    continue
                given, turned = (found[label, threads] for label in labels)
                ratio = paired_ratio(*((given, turned) if used else (turned, given)), generator)
                rows.append([*start, f"{ratio.value:.3f}x", interval(ratio, 3)])
    headers = ["rewrite", "precision", "made", "threads", "time with / without", "95 % interval"]
    return format_table(headers, rows)
