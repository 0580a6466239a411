"""A float .tflite file in half precision on emulated cores, against float32 on this machine.

The interpreter has no switch for it. XNNPACK reads from the file's metadata whether half
precision is enough, and computes in it where the core has such arithmetic: a copy of the file
says so, whatever the file itself says.
"""

import contextlib
import dataclasses
import itertools
import pathlib
import tempfile
from collections.abc import Mapping

import numpy as np

from care_keras.console.table import format_table
from care_keras.metrics import finite_or_none, snr_db
from care_keras.tflite_file import read_graph
from care_keras.tflite_file.reduced_precision import (
    allow_float16,
    computes_in_floats,
    forbid_float16,
)
from tflite.arm64.check import CheckSettings
from tflite.arm64.emulator import Emulator
from tflite.arm64.report import Result, format_versions, to_dict
from tflite.benchmark.machine import cpu_name
from tflite.inputs.odd_inputs import FAMILIES
from tflite.inputs.real_and_extreme import make_inputs
from tflite.runs.answers import Answers, agreement, answers_of
from tflite.runs.python import host_command
from tflite.runs.run import Run, run_with_progress

# Share of the photos that keep their class, at least.
MIN_AGREEMENT = 0.99
# Of outputs that nobody picks from: a trained network's classes hold at some 50 dB.
MIN_SNR_DB = 30.0
# Scores of classes have no more: the batch, and the classes.
_SCORES_AXES = 2
# A black image, a single pixel and noise.
EXTREME_IMAGES = len(FAMILIES) - 1
# Images of another class that are told in words.
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class OtherClass:
    """A photo that half precision puts into another class.

    Attributes:
        image: Its place.
        margin: By how much float32 prefers its class to the other one.
        error: The largest difference of a score.
    """

    image: int
    margin: float
    error: float


@dataclasses.dataclass(frozen=True)
class HalfComparison:
    """A run in half precision against one in float32.

    Attributes:
        used: Whether half precision was computed in at all: whether the same core gives other
            numbers for the file that does not allow it.
        images: Images that ran on both sides.
        photos: Photos among them whose class can be compared; 0 for a file of several outputs,
            of a single value, or of a map.
        not_finite: Images with an infinity or a NaN that float32 does not have.
        others: Photos of another class.
        snr_db: Of all outputs that are finite, `None` without any.
        failures: For each image that did not run on both sides, what happened.
        same_answers: Share of the answers on photos that are the same, of pixels or boxes; `None`
            without any.
    """

    used: bool
    images: int
    photos: int
    not_finite: int
    others: tuple[OtherClass, ...]
    snr_db: float | None
    failures: dict[int, str]
    same_answers: float | None = None

    @property
    def agreement(self) -> float | None:
        """Share of the photos that keep their class, or of other answers; `None` without any."""
        return 1.0 - len(self.others) / self.photos if self.photos else self.same_answers

    @property
    def verdict(self) -> str:
        """`"holds"`, or what does not."""
        if self.failures or not self.images:
            return "failed"
        if not self.used:
            return "computed in float32"
        if self.not_finite:
            return "not finite"
        if self.agreement is not None and self.agreement < MIN_AGREEMENT:
            return "other classes"
        if self.agreement is None and (self.snr_db is None or self.snr_db < MIN_SNR_DB):
            return "noisy"
        return "holds"

    @property
    def passed(self) -> bool:
        """Whether the verdict is a good one."""
        return self.verdict == "holds"


def check_half_precision(
    path: pathlib.Path, emulators: Mapping[str, Emulator], settings: CheckSettings
) -> tuple[dict, list[str]]:
    """Runs one file everywhere and prints the table; as `check_file`.

    Raises:
        ValueError: If the file computes no floats, or as `check_file`.
    """
    if not computes_in_floats(read_graph(path)):
        raise ValueError(
            f"Half precision is for files that compute in floats. Received: {path}, all integers"
        )
    inputs = make_inputs(
        path,
        settings.data,
        settings.images,
        settings.seed,
        settings.overrides,
        extremes=EXTREME_IMAGES,
    )
    first = dataclasses.replace(inputs, values=inputs.values[:1])
    answers = answers_of(read_graph(path), path, inputs.model_input)
    results, found = [], []
    with contextlib.ExitStack() as stack:
        commands = {
            (runtime, core): stack.enter_context(emulator.as_core(core))
            for runtime, emulator in emulators.items()
            for core in settings.cores
        }
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="care_keras_arm64-"))
        full, half = (pathlib.Path(folder) / f"{kind}_{path.name}" for kind in ("fp32", "fp16"))
        content = path.read_bytes()
        full.write_bytes(forbid_float16(content))
        half.write_bytes(allow_float16(content))
        limit = settings.timeout_seconds
        host = run_with_progress(host_command(), full, inputs, "host", limit)
        if host.error:
            raise ValueError(host.error)
        for (runtime, core), command in commands.items():
            plain = run_with_progress(command, full, first, f"{runtime}, {core}, float32", limit)
            for threads in settings.threads:
                name = f"{runtime}, {core}, threads {threads}"
                run = run_with_progress(command, half, inputs, name, limit, threads)
                comparison = compare_half_precision(host, run, plain, inputs.families, answers)
                found.append(comparison)
                emulator = emulators[runtime]
                results.append(Result(path, runtime, core, threads, emulator, run, comparison))
    print(f"\n{path}, {_format(inputs.families, results)}\n")
    print(f"{format_versions(host, cpu_name(), results)}\n")
    failed = [
        f"{path.name}, {result.name}: {result.comparison.verdict}"
        for result in results
        if not result.comparison.passed
    ]
    return to_dict(inputs, host, cpu_name(), results, _figures), failed


def compare_half_precision(
    reference: Run,
    other: Run,
    plain: Run,
    families: tuple[str, ...],
    answers: Answers | None = None,
) -> HalfComparison:
    """Compares two runs on the same images.

    Args:
        reference: In float32.
        other: Where half precision was allowed.
        plain: Of the first image, in float32 as `other` would have computed it.
        families: What each image is.
        answers: What the outputs are read for, where they are no scores of classes.
    """
    both = sorted(reference.outputs.keys() & other.outputs.keys())
    failures = reference.failures | other.failures
    used = 0 in other.outputs and 0 in plain.outputs
    used = used and any(
        not np.array_equal(first, second, equal_nan=True)
        for first, second in zip(other.outputs[0], plain.outputs[0], strict=True)
    )
    not_finite, others, photos, finite, read = 0, [], 0, [], []
    for image in both:
        pairs = list(zip(reference.outputs[image], other.outputs[image], strict=True))
        if all(np.isfinite(second[np.isfinite(first)]).all() for first, second in pairs):
            finite += [pair for pair in pairs if np.isfinite(pair[0]).all()]
        else:
            not_finite += 1
        if families[image] != "photo":
            continue
        if len(pairs) > 1 or pairs[0][0].ndim > _SCORES_AXES:
            read.append((other.outputs[image], reference.outputs[image]))
        elif pairs[0][0].size > 1:
            photos += 1
            if (one := _other_class(image, *pairs[0])) is not None:
                others.append(one)
    snr = None
    if finite:
        first, second = (np.concatenate([pair[side].ravel() for pair in finite]) for side in (0, 1))
        snr = snr_db(second.astype(np.float64), first.astype(np.float64))
    same = agreement(answers, read) if read else None
    return HalfComparison(used, len(both), photos, not_finite, tuple(others), snr, failures, same)


def _other_class(image, expected, actual):
    # Several images of a batch are the same one.
    expected, actual = (np.reshape(x, (-1,)).astype(np.float64) for x in (expected, actual))
    right, given = int(np.argmax(expected)), int(np.argmax(actual))
    if right == given:
        return None
    margin = float(expected[right] - expected[given])
    return OtherClass(image, margin, float(np.max(np.abs(actual - expected))))


def _format(families, results):
    headers = ["runtime", "core", "threads", "XNNPACK ops", "images", "failed", "not finite"]
    headers += ["same top-1", "of photos", "output SNR", "s/image", "verdict"]
    rows = []
    for result in results:
        run, found = result.run, result.comparison
        ops = None if run.ops is None else f"{run.delegated_ops} of {run.ops}"
        rows.append(
            [
                *(result.runtime, result.core, result.threads, ops),
                *(found.images, len(found.failures), found.not_finite),
                None if found.agreement is None else f"{found.agreement:.1%}",
                found.photos,
                None if found.snr_db is None else f"{found.snr_db:.1f} dB",
                f"{np.mean(run.seconds):.3f}" if run.seconds else None,
                found.verdict,
            ]
        )
    lines = [f"{len(families)} images, {families.count('photo')} of them photos: half precision"]
    lines[0] += " against the host's float32"
    lines.append(format_table(headers, rows))
    for result in results:
        for one in result.comparison.others[:_SHOWN]:
            lines.append(
                f"{result.name}: image {one.image} is of another class, which float32 puts "
                f"{one.margin:.3g} behind; the scores differ by up to {one.error:.3g}"
            )
        for text in dict.fromkeys(itertools.islice(result.comparison.failures.values(), _SHOWN)):
            lines.append(f"{result.name}: failed: {text}")
        if result.comparison.verdict == "computed in float32":
            lines.append(
                f"{result.name}: XNNPACK did not compute in half precision: the core has no such "
                "arithmetic, or the runtime is older than 2.1"
            )
    return "\n".join(lines)


def _figures(comparison):
    return {
        "verdict": comparison.verdict,
        "computed_in_half_precision": comparison.used,
        "images_compared": comparison.images,
        "images_not_finite": comparison.not_finite,
        "photos_compared": comparison.photos,
        "top1_agreement": comparison.agreement,
        "other_classes": [dataclasses.asdict(one) for one in comparison.others],
        "snr_db": None if comparison.snr_db is None else finite_or_none(comparison.snr_db),
        "failures": {str(image): text for image, text in comparison.failures.items()},
    }
