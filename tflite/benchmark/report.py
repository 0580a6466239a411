"""The JSON of a latency run, and what a new run says against an old one."""

import dataclasses
import hashlib
import json
import pathlib
import platform
from collections.abc import Sequence

import numpy as np

from care_keras.data.sidecar import sidecar_path
from care_keras.files import parse_json
from care_keras.json_shape import each, maybe, misfit, positive, text, whole
from tflite.benchmark.engine import Engine, RoundPlan
from tflite.benchmark.latency import Candidate, Latency
from tflite.benchmark.machine import describe_machine, load_average, now
from tflite.benchmark.statistics import Estimate, unpaired_ratio
from tflite.benchmark.thread_check import ThreadCheck
from tflite.benchmark_tool.profile import OpProfile

SCHEMA = "care_keras.tflite.latency/1"
# What of a report is read again.
_SHAPE = {
    "schema": lambda value: value == SCHEMA,
    "date": text,
    "machine": {"cpu": maybe(text)},
    "versions": each(text),
    "settings": {"engine": text, "xnnpack": lambda value: isinstance(value, bool)},
    "models": [
        {
            "file": text,
            "threads": whole,
            "input_shapes": maybe(each([whole])),
            "rounds_ms": lambda value: bool(value) and misfit(value, [positive]) is None,
        }
    ],
}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A file against the same file of an old report.

    Attributes:
        label: Name of the file.
        threads: Threads.
        ratio: New latency to old, `None` if the old report has nothing to hold it against.
        verdict: `"faster"`, `"slower"`, `"no difference beyond noise"`, or why there
            is no ratio: `"not in the old report"`, or `"of means in the old report, of
            medians here"`.
    """

    label: str
    threads: int
    ratio: Estimate | None
    verdict: str


def report(
    latencies: Sequence[Latency],
    accuracies: dict[str, float],
    profiles: dict[tuple[str, int], OpProfile],
    engine: Engine,
    plan: RoundPlan,
    settings: dict,
    thread_checks: dict[tuple[str, int], ThreadCheck] | None = None,
) -> dict:
    """Everything about a run as plain JSON types.

    Args:
        latencies: Its results.
        accuracies: Top-1 shares by the files' names, where known.
        profiles: Time per operation by name and threads, where the engine gave it.
        engine: What ran.
        plan: How long rounds were.
        settings: Further settings of the run.
        thread_checks: By name and threads, what several threads gave against one.
    """
    thread_checks = thread_checks or {}
    return {
        "schema": SCHEMA,
        "date": now(),
        "machine": {**describe_machine(), "load_average": load_average()},
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            **engine.versions(),
        },
        "settings": {"engine": engine.name, **dataclasses.asdict(plan), **settings},
        "models": [
            _entry(
                latency,
                accuracies.get(latency.label),
                profiles.get((latency.label, latency.run.threads)),
                thread_checks.get((latency.label, latency.run.threads)),
            )
            for latency in latencies
        ],
    }


def read_report(path: pathlib.Path) -> dict:
    """A report that `report` made.

    Raises:
        ValueError: If there is none or it is something else.
    """
    try:
        content = parse_json(path.read_text())
    except OSError as error:
        raise ValueError(
            f"The old report cannot be read. Received: {path} ({error.strerror})"
        ) from error
    except ValueError as error:
        raise ValueError(f"The old report is no JSON. Received: {path} ({error})") from error
    if wrong := misfit(content, _SHAPE):
        raise ValueError(
            f"The old report is none of python -m tflite.benchmark. Received: {path} ({wrong})"
        )
    return content


def check_comparable(old: dict, candidates: Sequence[Candidate], settings: dict) -> None:
    """Says before a run whether it can be compared with an old report.

    Args:
        old: What `read_report` returned.
        candidates: What is to be run.
        settings: `engine` and `xnnpack` of the new run.

    Raises:
        ValueError: If the old one was made on another processor, with another
            engine or with XNNPACK set otherwise, or has none of the files.
    """
    for name, then, here in (
        ("processor", old["machine"]["cpu"], describe_machine()["cpu"]),
        ("engine", old["settings"]["engine"], settings["engine"]),
        ("XNNPACK setting", old["settings"]["xnnpack"], settings["xnnpack"]),
    ):
        if then != here:
            raise ValueError(
                f"The old report is of another {name}; its times cannot be compared. "
                f"Received: {then}, here {here}"
            )
    before = {_old_key(entry) for entry in old["models"]}
    if not before & {_key(candidate) for candidate in candidates}:
        names = ", ".join(
            f"{file} (threads: {threads}, input shapes: {shapes})"
            for file, threads, shapes in sorted(before)
        )
        raise ValueError(f"The old report has none of the models. Received: a report of {names}")


def compare(
    latencies: Sequence[Latency], old: dict, tolerance: float, seed: int = 0
) -> list[Comparison]:
    """Holds a run against an old report, file by file.

    The runs were not interleaved, so what changes a machine between them is in
    the ratio and not in its interval: `tolerance` is there for it. A verdict
    needs the whole interval beyond it.

    Args:
        latencies: The new run.
        old: What `read_report` returned and `check_comparable` let pass.
        tolerance: Share by which two runs of one file may differ, `0.05`.
        seed: Seed of the bootstrap.
    """
    generator = np.random.default_rng(seed)
    before = {_old_key(entry): entry for entry in old["models"]}

    def against_old(latency):
        entry = before.get(_key(latency))
        if entry is None:
            return None, "not in the old report"
        # A median is not held against a mean, which older releases of benchmark_model give.
        center = entry.get("center", "median")
        if center != latency.center:
            return None, f"of {center}s in the old report, of {latency.center}s here"
        ratio = unpaired_ratio(latency.centers_ms, entry["rounds_ms"], generator)
        return ratio, verdict(ratio, tolerance)

    return [
        Comparison(latency.label, latency.run.threads, *against_old(latency))
        for latency in latencies
    ]


def runtime(content: dict) -> str:
    """What ran, of a report: `"ai-edge-litert 2.3.0"`."""
    # The first characters of a sum are enough to tell two builds apart.
    return ", ".join(
        f"{name} {version[:19] if version.startswith('sha256 ') else version}"
        for name, version in content["versions"].items()
        if name not in ("python", "numpy")
    )


def sidecar_top1(model_path: pathlib.Path) -> float | None:
    """Top-1 from the check in the JSON that `care_keras.convert` wrote beside a file.

    `None` if there is no such figure, or the JSON is of another file by its sum.
    """
    try:
        content = parse_json(sidecar_path(model_path).read_text())
        # The last one is the file itself; others were run to compare with.
        top1 = content["check"]["files"][-1]["top1"]
        same = content["sha256"] == hashlib.sha256(model_path.read_bytes()).hexdigest()
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None
    return float(top1) if same and isinstance(top1, int | float) else None


def _key(item):
    """What has to be alike for times to be compared."""
    return item.label, item.run.threads, json.dumps(item.run.shapes, sort_keys=True)


def _old_key(entry):
    return entry["file"], entry["threads"], json.dumps(entry["input_shapes"], sort_keys=True)


def verdict(ratio: Estimate, tolerance: float) -> str:
    """What a ratio of new to old latencies says; see `compare`."""
    if ratio.low > 1 + tolerance:
        return "slower"
    if ratio.high < 1 / (1 + tolerance):
        return "faster"
    return "no difference beyond noise"


def _entry(latency, accuracy, profile, thread_check):
    content = latency.run.path.read_bytes()
    fields = {
        field.name: _plain(getattr(latency, field.name))
        for field in dataclasses.fields(latency)
        if field.name not in ("label", "run", "centers_ms")
    }
    return {
        "file": latency.label,
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
        "threads": latency.run.threads,
        "input_shapes": latency.run.shapes,
        "top1": accuracy,
        "outputs_against_one_thread": None if thread_check is None else thread_check.to_dict(),
        **fields,
        "rounds_ms": list(latency.centers_ms),
        "profile": None if profile is None else dataclasses.asdict(profile),
    }


def _plain(value):
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value
