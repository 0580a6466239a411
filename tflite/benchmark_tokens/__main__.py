"""Attention's cost against the number of tokens: `python -m tflite.benchmark_tokens`.

Writes the attention of one stage of a CARE model, and softmax attention of the
same width, as .tflite files for images of several sizes, times all of them in
interleaved rounds, and fits how time and multiply-accumulates grow.
"""

import dataclasses
import json

import numpy as np
from absl import flags

from care_keras.console import cli
from care_keras.console.optional import require
from care_keras.console.outputs import PICTURES, output_file, output_folder, write_output
from care_keras.models.config import BASE_CONFIGS
from tflite.benchmark.engine import RoundPlan
from tflite.benchmark.latency import make_candidates, measure
from tflite.benchmark.litert_engine import LiteRTEngine
from tflite.benchmark.report import report, runtime
from tflite.benchmark_tokens import chart
from tflite.benchmark_tokens.scaling import (
    growth,
    growth_table,
    time_table,
    token_count,
    whole_model_macs,
    work_table,
)
from tflite.benchmark_tokens.shape import KINDS, attention_shape, parse_sides

SCHEMA = "care_keras.tflite.tokens/1"

_MODEL = flags.DEFINE_enum("model", "s0", sorted(BASE_CONFIGS), "Whose attention.")
_STAGE = flags.DEFINE_integer("stage", 3, "Of which stage, from 1.")
_SIZE = flags.DEFINE_list(
    "size",
    ["112", "224", "336", "448", "672", "896"],
    "Sides of the images in pixels; two or more.",
)
_THREADS = flags.DEFINE_integer("threads", 1, "Threads of the CPU kernels.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 10, "Rounds; a process per file in each.", lower_bound=3)
_SECONDS = flags.DEFINE_float("round_seconds", 0.3, "Time of a round, at least.", lower_bound=0)
_FOLDER = flags.DEFINE_string("folder", None, "Keep the files in this folder.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of weights, orders and bootstrap.", lower_bound=0)
_OUTPUT_JSON = flags.DEFINE_string("output_json", None, "File for all figures.")
_PICTURE = flags.DEFINE_string("picture", None, "File for a picture: .png, .svg or .pdf.")


def main() -> None:
    """The command."""
    output_json = output_file("output_json", _OUTPUT_JSON.value, (".json",))
    picture = output_file("picture", _PICTURE.value, PICTURES)
    if picture:
        # Before minutes of measuring, not after.
        require("matplotlib", "report")
    config = BASE_CONFIGS[_MODEL.value]
    shape = attention_shape(config, _STAGE.value)
    sides = parse_sides(_SIZE.value, config, shape)
    with output_folder(_FOLDER.value) as folder:
        _run(folder, config, shape, sides, output_json, picture)


def _run(folder, config, shape, sides, output_json, picture):
    from tflite.benchmark_tokens.attention_files import file_macs, write_files

    paths = {
        (side, kind): path
        for side in sides
        for kind, path in write_files(shape, side, folder, _SEED.value).items()
    }
    candidates = make_candidates(list(paths.values()), [_THREADS.value], {})
    engine, plan = LiteRTEngine(seed=_SEED.value), RoundPlan(seconds=_SECONDS.value)
    latencies = measure(candidates, engine, plan, _ROUNDS.value, _SEED.value)
    found = dict(zip(paths, latencies, strict=True))

    generator = np.random.default_rng(_SEED.value)
    counts = [
        token_count(
            side,
            (side // shape.stride) ** 2,
            {kind: file_macs(paths[side, kind]) for kind in KINDS},
            {kind: found[side, kind] for kind in KINDS},
            generator,
        )
        for side in sides
    ]
    fit = growth(counts, generator)
    whole = whole_model_macs(config, sides)
    print(f"\n{work_table(counts, whole)}\n\n{time_table(counts)}\n\n{growth_table(fit)}")
    print(f"fitted over {fit.tokens[0]:,} to {fit.tokens[1]:,} tokens")
    settings = {
        "model": _MODEL.value,
        "stage": _STAGE.value,
        **dataclasses.asdict(shape),
        "rounds": _ROUNDS.value,
        "threads": _THREADS.value,
        "seed": _SEED.value,
    }
    content = {
        **report(latencies, {}, {}, engine, plan, settings),
        "schema": SCHEMA,
        "sizes": [_entry(count, model) for count, model in zip(counts, whole, strict=True)],
        "growth": dataclasses.asdict(fit),
    }
    title = (
        f"{config.name}, stage {_STAGE.value}: attention of {shape.channels} channels "
        f"in heads of {shape.head_dim}, float32, batch 1"
    )
    note = _note(content)
    print(f"\n{title}\n{note}")
    if output_json:
        write_output(output_json, json.dumps(content, indent=2) + "\n")
    if picture:
        write_output(picture, lambda: chart.draw(counts, fit, picture, title, note))


def _entry(count, model):
    return {
        "side_pixels": count.side,
        "tokens": count.tokens,
        "macs": count.macs,
        "latency_min_ms": {kind: one.latency_min_ms for kind, one in count.latencies.items()},
        "latency_median_ms": {
            kind: dataclasses.asdict(one.latency_median_ms) for kind, one in count.latencies.items()
        },
        "softmax_to_linear": dataclasses.asdict(count.ratio),
        "whole_model_macs": model,
    }


def _note(content):
    machine = content["machine"]
    threads = "1 thread" if _THREADS.value == 1 else f"{_THREADS.value} threads"
    return (
        f"{runtime(content)}, {threads}, {_ROUNDS.value} rounds, on {machine['cpu']} "
        f"({machine['usable_cpus']} CPUs, load {machine['load_average']})"
    )


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
