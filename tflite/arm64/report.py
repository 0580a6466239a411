"""What `tflite.arm64` found, as a table and as JSON."""

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Callable

from care_keras.console.table import format_table
from care_keras.metrics import finite_or_none
from tflite.arm64.emulator import Emulator
from tflite.inputs.real_and_extreme import Inputs
from tflite.runs.answers import Answers
from tflite.runs.compare import Comparison
from tflite.runs.run import Run
from tflite.runs.tensors import Parting

# Failures that are told in words.
_MESSAGES = 3


@dataclasses.dataclass(frozen=True)
class Result:
    """One file under one runtime as one core, with so many threads.

    Attributes:
        model: The file.
        runtime: Name of the runtime, `"2.3.0"`.
        core: Name of the core, as it was asked for.
        threads: Of the kernels.
        emulator: What emulated it.
        run: What it gave.
        comparison: That against the host.
        partings: At which operators they part, `None` if that was not asked.
    """

    model: pathlib.Path
    runtime: str
    core: str
    threads: int
    emulator: Emulator
    run: Run
    comparison: Comparison
    partings: list[Parting] | None = None

    @property
    def name(self) -> str:
        """For people: `"2.3.0, cortex-a53, 4 threads"`."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.runtime}, {self.core}, {threads}"


def format_results(
    inputs: Inputs, host: Run, results: list[Result], answers: Answers | None
) -> str:
    """The table of one file, what was compared, and what failed."""
    rows = [_row("host", "", 1, host, None), *(_row_of(result) for result in results)]
    headers = [
        *("runtime", "core", "threads", "XNNPACK ops", "images", "failed", "equal values"),
        *("largest difference", answers.heading if answers else "same answers"),
        *("s/image", "verdict"),
    ]
    counts = ", ".join(f"{count} {name}" for name, count in Counter(inputs.families).items())
    lines = [f"{len(inputs.families)} images: {counts}", format_table(headers, rows)]
    if len({_content(outputs) for outputs in host.outputs.values()}) == 1 < len(host.outputs):
        lines.append("warning: all images give one output, so that equal ones say little")
    for run, name in [(host, "host"), *((result.run, result.name) for result in results)]:
        if run.error:
            lines.append(f"{name}: cannot open the file: {run.error}")
    for result in results:
        lines += _failures(result)
    return "\n".join(lines)


def format_partings(result: Result, images: int) -> str:
    """At which operators a result parts from the host."""
    headers = ["operator", "given equal inputs", "parted", "values that differ", "largest"]
    rows = [
        [one.operator, one.judged, one.parted, f"{one.differing / one.values:.3%}", _largest(one)]
        for one in result.partings
    ]
    return (
        f"where {result.name} parts from the host, on {images} images\n"
        f"{format_table(headers, rows)}"
    )


def format_versions(host: Run, host_cpu: str, results: list[Result]) -> str:
    """What was compared with what."""
    lines = [f"host: {_runtime(host)}, {host.runtime['machine']}, {host_cpu}"]
    for name in dict.fromkeys(result.runtime for result in results):
        first = next((r for r in results if r.runtime == name and r.run.runtime), None)
        if first is not None:
            lines.append(f"emulated: {_runtime(first.run)}, qemu {first.emulator.qemu_version}")
    for result in results:
        if (model := result.emulator.cpu_model(result.core)) != result.core:
            lines.append(
                f"{result.core} is {model}: SME kernels gave wrong results under qemu 7.2, "
                "right ones under 10.0"
            )
            break
    return "\n".join(lines)


def figures(comparison: Comparison) -> dict:
    """A comparison as plain JSON types."""
    relative = comparison.largest_relative
    return {
        "verdict": comparison.verdict,
        "images_compared": comparison.images,
        "values": comparison.values,
        "equal_values": comparison.equal,
        "largest_code_difference": comparison.largest_codes,
        "largest_relative_difference": None if relative is None else finite_or_none(relative),
        "agreement": comparison.agreement,
        "worst_output": comparison.worst_output,
        "failures": {str(image): text for image, text in comparison.failures.items()},
    }


def to_dict(
    inputs: Inputs,
    host: Run,
    host_cpu: str,
    results: list[Result],
    to_figures: Callable[..., dict] = figures,
) -> dict:
    """All of one file as plain JSON types; `to_figures` makes them of a result's comparison."""
    return {
        "model": str(results[0].model),
        "images": list(inputs.families),
        "host": {**host.runtime, "cpu": host_cpu, **_counts(host)},
        "emulated": [
            {
                "runtime": result.runtime,
                **result.run.runtime,
                "qemu": result.emulator.qemu_version,
                "core": result.core,
                "threads": result.threads,
                "cpu_model": result.emulator.cpu_model(result.core),
                **_counts(result.run),
                **to_figures(result.comparison),
                "partings": None
                if result.partings is None
                else [dataclasses.asdict(one) for one in result.partings],
            }
            for result in results
        ],
        "debian_packages": list(results[0].emulator.packages),
    }


def _row_of(result):
    return _row(result.runtime, result.core, result.threads, result.run, result.comparison)


def _row(runtime, core, threads, run, comparison):
    ops = None if run.ops is None else f"{run.delegated_ops} of {run.ops}"
    seconds = f"{sum(run.seconds) / len(run.seconds):.3f}" if run.seconds else None
    if comparison is None:
        head = [runtime, core, threads, ops]
        return [*head, len(run.outputs), len(run.failures), *[None] * 3, seconds, None]
    agreement = comparison.agreement
    return [
        *(runtime, core, threads, ops, comparison.images, len(comparison.failures)),
        f"{comparison.equal} of {comparison.values}",
        _difference(comparison, run.names),
        None if agreement is None else f"{agreement:.1%}",
        seconds,
        comparison.verdict,
    ]


def _difference(comparison, outputs):
    text, worst = _largest(comparison), comparison.worst_output
    return f"{text} in {worst}" if worst and len(outputs) > 1 else text


def _largest(comparison):
    codes, relative = comparison.largest_codes, comparison.largest_relative
    parts = [] if codes is None else [f"{codes} codes"]
    parts += [] if relative is None else [f"{relative:.2g}"]
    return ", ".join(parts) or None


def _failures(result):
    messages = Counter(result.comparison.failures.values())
    lines = [
        f"{result.name}: {count} failed: {message}"
        for message, count in messages.most_common(_MESSAGES)
    ]
    left = len(messages) - _MESSAGES
    return [*lines, f"and {left} other messages"] if left > 0 else lines


def _runtime(run):
    names = {"ai-edge-litert": "LiteRT", "tflite-runtime": "TensorFlow Lite"}
    name = names[run.runtime["package"]]
    return f"{name} {run.runtime['version']} on Python {run.runtime['python']}"


def _content(outputs):
    return b"".join(output.tobytes() for output in outputs)


def _counts(run):
    return {
        "ops": run.ops,
        "xnnpack_ops": run.delegated_ops,
        "error": run.error,
        "seconds_mean": sum(run.seconds) / len(run.seconds) if run.seconds else None,
    }
