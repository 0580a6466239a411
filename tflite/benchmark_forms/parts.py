"""What of a detector's or segmenter's time is its backbone's, its neck's and its head's."""

import pathlib
import re
import sys
from collections.abc import Sequence

import keras
import numpy as np

from care_keras.console.native_output import captured_native_output
from care_keras.console.table import format_table
from care_keras.convert.conversion import convert_model
from tflite.benchmark.latency import Latency
from tflite.benchmark.statistics import typical
from tflite.benchmark.tables import interval

# Each is the network up to the end of a part, so that what a part takes is a difference.
FILES = ("backbone_int8", "with_neck_int8", "whole_int8")
PARTS = ("backbone", "neck", "head")
# Layers that a pyramid's level may end in, the last that it has counts.
_ENDS = ("lateral", "sum", "smooth", "down")


def networks(model: keras.Model) -> list[keras.Model]:
    """The backbone, that with the neck, and the whole network.

    Args:
        model: A `RetinaNet` or `SemanticFPN`.

    Raises:
        ValueError: If it is neither.
    """
    names = {layer.name for layer in model.layers}
    levels = sorted({int(found[1]) for name in names if (found := re.match(r"p(\d+)_", name))})
    normed = [f"p{level}_norm" for level in levels if f"p{level}_norm" in names]
    if not normed:
        raise ValueError(
            "Only a RetinaNet or a SemanticFPN has a backbone, a neck and a head. "
            f"Received: {type(model).__name__}"
        )
    ends = [
        next(name for end in reversed(_ENDS) if (name := f"p{level}_{end}") in names)
        for level in levels
    ]
    features = [model.get_layer(name).input for name in normed]
    pyramid = [model.get_layer(name).output for name in ends]
    return [keras.Model(model.inputs, features), keras.Model(model.inputs, pyramid), model]


def write_parts(model: keras.Model, images: np.ndarray, folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes the int8 files, in the order of `FILES`.

    Args:
        model: As `networks` takes it, with a preprocessing record.
        images: uint8 `(images, height, width, 3)` that set int8 ranges.
        folder: Where to.

    Raises:
        ValueError: If one cannot be made.
    """
    paths = []
    for name, network in zip(FILES, networks(model), strict=True):
        print(f"converting: {name}", file=sys.stderr, flush=True)
        with captured_native_output():
            converted = convert_model(
                network, model.preprocessing, "int8", calibration=iter(images)
            )
        paths.append(folder / f"{name}.tflite")
        paths[-1].write_bytes(converted.content)
    return paths


def part_table(latencies: Sequence[Latency], seed: int) -> str:
    """What each part takes, by differences in each round, with 95 % intervals."""
    generator = np.random.default_rng(seed)
    found = {
        (one.label.removesuffix(".tflite"), one.run.threads): np.asarray(one.centers_ms)
        for one in latencies
    }
    rows = []
    for threads in dict.fromkeys(one.run.threads for one in latencies):
        until = [found.get((name, threads)) for name in FILES]
        for part, before, after in zip(PARTS, [0.0, *until[:-1]], until, strict=True):
            if before is None or after is None or until[-1] is None:
                rows.append([part, threads, None, "one does not run", None])
                continue
            took = typical(after - before, generator)
            share = typical((after - before) / until[-1], generator)
            rows.append(
                [part, threads, f"{took.value:.2f}", interval(took, 2), f"{share.value:.1%}"]
            )
    return format_table(["part", "threads", "ms", "95 % interval", "share"], rows)
