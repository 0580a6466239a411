"""Latency of .tflite files on this machine: `python -m tflite.benchmark --model=A --model=B`.

The files are run in turn, round by round, each round in a process of its own,
so that what disturbs the machine disturbs all of them, and ratios to the first
file are taken within rounds. Exit code 1 if `--compare` finds a file slower, or
if several threads give other outputs than one.
"""

import json
import pathlib
import sys

from absl import flags

from care_keras.console import cli
from care_keras.console.flag_values import parse_shapes
from care_keras.console.optional import require
from care_keras.console.outputs import PICTURES, output_file, write_output
from tflite.benchmark import chart
from tflite.benchmark.engine import RoundPlan
from tflite.benchmark.latency import make_candidates, measure
from tflite.benchmark.litert_engine import LiteRTEngine
from tflite.benchmark.machine import describe_machine, load_average
from tflite.benchmark.native_engine import BenchmarkModelEngine
from tflite.benchmark.report import (
    check_comparable,
    compare,
    read_report,
    report,
    runtime,
    sidecar_top1,
)
from tflite.benchmark.statistics import FEWEST_ROUNDS
from tflite.benchmark.tables import comparison_table, latency_table, profile_table, start_table
from tflite.benchmark.thread_check import check_candidates
from tflite.benchmark_tool.binary import find_benchmark_model
from tflite.inputs.json_output import json_output

_MODEL = flags.DEFINE_multi_string(
    "model", None, "A .tflite file; give several. The first is what ratios are to.", required=True
)
_THREADS = flags.DEFINE_multi_integer(
    "threads", [1], "Threads of the CPU kernels; give several.", lower_bound=1
)
_ENGINE = flags.DEFINE_enum(
    "engine",
    None,
    ["litert", "benchmark_model"],
    "What runs the files: LiteRT in Python, or benchmark_model, TensorFlow Lite's or LiteRT's own "
    "(default: the latter if --benchmark_binary names it, it is on PATH, or Bazel built it).",
)
_BINARY = flags.DEFINE_string(
    "benchmark_binary", None, "benchmark_model, of either family: it is asked."
)
_XNNPACK = flags.DEFINE_bool("xnnpack", True, "Run what it can take through XNNPACK.")
_ROUNDS = flags.DEFINE_integer("rounds", 10, "Rounds; a process per file in each.", lower_bound=3)
_RUNS = flags.DEFINE_integer("runs", 20, "Inferences of a round, at least.", lower_bound=1)
_SECONDS = flags.DEFINE_float("round_seconds", 0.3, "Time of a round, at least.", lower_bound=0)
_WARMUP_RUNS = flags.DEFINE_integer(
    "warmup_runs", 3, "Inferences before each round's, at least.", lower_bound=1
)
_WARMUP_SECONDS = flags.DEFINE_float("warmup_seconds", 0.1, "Likewise, time.", lower_bound=0)
_INPUT_SHAPE = flags.DEFINE_multi_string(
    "input_shape", [], "Shape of an input that the files leave open: 1x224x224x3 or NAME=SHAPE."
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of inputs, orders and bootstrap.", lower_bound=0)
_PROFILE = flags.DEFINE_bool("profile", False, "Time per operation, from runs of their own.")
_ACCURACY = flags.DEFINE_multi_float(
    "accuracy",
    [],
    "Top-1 share of each --model, in their order (default: from the JSON beside the file).",
    lower_bound=0,
    upper_bound=1,
)
_OUTPUT_JSON = flags.DEFINE_string("output_json", None, "File for all figures.")
_PICTURE = flags.DEFINE_string("picture", None, "File for a picture: .png, .svg or .pdf.")
_COMPARE = flags.DEFINE_string("compare", None, "An --output_json of before, to compare with.")
_TOLERANCE = flags.DEFINE_float(
    "tolerance", 0.05, "Share by which two runs of one file may differ.", lower_bound=0
)
_TIMEOUT = flags.DEFINE_float("timeout", 300, "Seconds that a process may take.", lower_bound=0.1)


def main() -> None:
    """The command."""
    output_json = json_output(_OUTPUT_JSON.value, _MODEL.value)
    picture = output_file("picture", _PICTURE.value, PICTURES)
    if picture:
        # Before minutes of measuring, not after.
        require("matplotlib", "report")
    paths = [pathlib.Path(value) for value in _MODEL.value]
    threads = list(dict.fromkeys(_THREADS.value))
    candidates = make_candidates(paths, threads, parse_shapes(_INPUT_SHAPE.value))
    accuracies = _accuracies(candidates[: len(paths)])
    engine = _engine()
    old = read_report(pathlib.Path(_COMPARE.value)) if _COMPARE.value else None
    if old:
        check_comparable(old, candidates, {"engine": engine.name, "xnnpack": _XNNPACK.value})
    plan = RoundPlan(_WARMUP_RUNS.value, _WARMUP_SECONDS.value, _RUNS.value, _SECONDS.value)
    _warn_of_load(max(threads))
    checks = check_candidates(candidates, engine)
    if any(one.run.threads > 1 and _key(one) not in checks for one in candidates):
        print(
            f"warning: the engine {engine.name} gives no outputs of some files: with several "
            "threads they are not held against one",
            file=sys.stderr,
        )
    latencies = measure(candidates, engine, plan, _ROUNDS.value, _SEED.value)
    if _ROUNDS.value < FEWEST_ROUNDS:
        print(
            f"warning: {_ROUNDS.value} rounds are too few for an interval of 95 %: it reaches from "
            f"the least to the greatest, and {1 - 2 ** (1 - _ROUNDS.value):.0%} of such hold the "
            f"typical latency; give --rounds={FEWEST_ROUNDS} or more",
            file=sys.stderr,
        )
    profiles = _profiles(candidates, engine)

    print(f"\n{latency_table(latencies)}\n\n{start_table(latencies)}")
    for latency in latencies:
        if _XNNPACK.value and latency.delegate.coverage == "none":
            print(
                f"warning: XNNPACK runs nothing of {latency.label}: slow kernels do",
                file=sys.stderr,
            )
    for (label, count), profile in profiles.items():
        print(f"\n{label}, threads: {count}, profiled (slower than the runs above)")
        print(profile_table(profile))
    settings = {
        "rounds": _ROUNDS.value,
        "threads": threads,
        "xnnpack": _XNNPACK.value,
        "seed": _SEED.value,
    }
    content = report(latencies, accuracies, profiles, engine, plan, settings, checks)
    note = _note(content)
    print(f"\n{note}")
    if output_json:
        write_output(output_json, json.dumps(content, indent=2) + "\n")
    if picture:
        write_output(picture, lambda: chart.draw(latencies, accuracies, picture, note))
    wrong = [f"{label} {check}" for (label, _), check in checks.items() if not check.passed]
    if wrong:
        raise cli.CheckError(
            f"{'; '.join(wrong)}: times of wrong numbers (tflite.audit --portable looks for the "
            "operator)"
        )
    if old:
        _compare(latencies, old)


def _key(candidate):
    return candidate.label, candidate.run.threads


def _engine():
    binary = _BINARY.value
    if _ENGINE.value == "litert" and binary:
        raise cli.UserError("--engine=litert and --benchmark_binary contradict each other")
    if _ENGINE.value != "litert":
        binary = binary or find_benchmark_model()
        if _ENGINE.value and not binary:
            raise cli.UserError(
                "there is no benchmark_model, on PATH or built by Bazel: "
                "name it with --benchmark_binary"
            )
    options = (_XNNPACK.value, _SEED.value, _TIMEOUT.value)
    return BenchmarkModelEngine(binary, *options) if binary else LiteRTEngine(*options)


def _accuracies(candidates):
    given = _ACCURACY.value
    if given and len(given) != len(candidates):
        raise cli.UserError(
            f"--accuracy must be given once for each --model: {len(given)} for {len(candidates)}"
        )
    values = given or [sidecar_top1(candidate.run.path) for candidate in candidates]
    return {
        candidate.label: value
        for candidate, value in zip(candidates, values, strict=True)
        if value is not None
    }


def _warn_of_load(threads):
    load = load_average()
    cpus = describe_machine()["usable_cpus"]
    if load is not None and load + threads > cpus + 0.5:
        print(
            f"warning: the machine is busy (load {load}, {threads} threads to come, {cpus} CPUs): "
            "times will be too long",
            file=sys.stderr,
        )


def _profiles(candidates, engine):
    if not _PROFILE.value:
        return {}
    profiles = {
        (candidate.label, candidate.run.threads): engine.profile(candidate.run)
        for candidate in candidates
    }
    if not any(profiles.values()):
        print(
            f"warning: the engine {engine.name} gives no time per operation; a benchmark_model "
            "built with profiling does",
            file=sys.stderr,
        )
    return {key: profile for key, profile in profiles.items() if profile}


def _note(content):
    machine = content["machine"]
    return (
        f"{runtime(content)}, {_ROUNDS.value} rounds, on {machine['cpu']} "
        f"({machine['usable_cpus']} CPUs, load {machine['load_average']})"
    )


def _compare(latencies, old):
    comparisons = compare(latencies, old, _TOLERANCE.value, _SEED.value)
    print(f"\n{comparison_table(comparisons)}")
    print(f"\nagainst {_COMPARE.value}: {runtime(old)}, {old['date']}")
    slower = dict.fromkeys(one.label for one in comparisons if one.verdict == "slower")
    if slower:
        raise cli.CheckError(f"slower than in {_COMPARE.value}: {', '.join(slower)}")


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
