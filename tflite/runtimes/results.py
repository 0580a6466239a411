"""What a .tflite file gives in one runtime, against this environment's."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from care_keras.console.table import format_table
from care_keras.metrics import finite_or_none
from care_keras.tflite_file import read_graph
from tflite.inputs.real_and_extreme import Inputs
from tflite.runs.answers import answers_of
from tflite.runs.compare import Comparison, compare, outputs_snr_db
from tflite.runs.run import Run
from tflite.runtimes.sides import Side

# Of an output in floats, relative to its largest value: seen are some 1e-6.
_TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True, eq=False)
class Limits:
    """What a runtime is wrong below, on photos.

    Attributes:
        agreement: Share of the answers on photos that both must have in common.
        snr_db: Signal-to-noise ratio of each output.
    """

    agreement: float
    snr_db: float


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """One file in one runtime.

    Attributes:
        model: Name of the file.
        side: Where it ran.
        run: What it gave.
        limits: What is wrong.
        comparison: On all images; `None` if nothing ran.
        on_photos: On photos alone.
        snr_db: Of the worst output on photos, likewise.
    """

    model: str
    side: Side
    run: Run
    limits: Limits
    comparison: Comparison | None = None
    on_photos: Comparison | None = None
    snr_db: float | None = None

    @property
    def runtime(self) -> str:
        """`"ai-edge-litert 2.3.0"`, or what is emulated."""
        if self.side.name is not None:
            return self.side.name
        return f"{self.run.runtime['package']} {self.run.runtime['version']}"

    @property
    def milliseconds(self) -> float | None:
        """Median time of an inference; `None` where an emulator ran it."""
        if not (self.side.real_time and self.run.seconds):
            return None
        return 1e3 * float(np.median(self.run.seconds))

    @property
    def verdict(self) -> str:
        """`"equal"`, `"within 2 codes"` on photos, `"wrong"` or `"does not run"`."""
        if self.run.error or self.comparison.failures:
            return "does not run"
        agreement = self.on_photos.agreement
        if agreement is not None and agreement < self.limits.agreement:
            return "wrong"
        if not self.snr_db >= self.limits.snr_db:
            return "wrong"
        if self.comparison.equal == self.comparison.values:
            return "equal"
        largest, relative = self.on_photos.largest_codes, self.on_photos.largest_relative
        if largest is not None:
            return "within 1 code" if largest == 1 else f"within {largest} codes"
        return f"within {relative:.1g}"

    @property
    def passed(self) -> bool:
        """Whether the verdict is a good one."""
        return self.verdict not in ("wrong", "does not run")

    def to_dict(self) -> dict:
        """As plain JSON types."""
        compared, on_photos = self.comparison, self.on_photos
        relative = compared and compared.largest_relative
        return {
            "model": self.model,
            "runtime": self.run.runtime,
            "side": self.side.name,
            "operators": self.run.ops,
            "delegated": self.run.delegated_ops,
            "values": compared and compared.values,
            "equal": compared and compared.equal,
            "largest_codes": compared and compared.largest_codes,
            "largest_codes_on_photos": on_photos and on_photos.largest_codes,
            "largest_relative": relative if relative is None else finite_or_none(relative),
            "photos_agreement": on_photos and on_photos.agreement,
            "photos_snr_db": None if self.snr_db is None else finite_or_none(self.snr_db),
            "failures": compared and compared.failures,
            "median_ms": self.milliseconds,
            "verdict": self.verdict,
            "error": self.run.error,
        }


def make_result(
    path, inputs: Inputs, side: Side, reference: Run, run: Run, limits: Limits
) -> Result:
    """Compares one run with this environment's.

    Args:
        path: The file.
        inputs: What both were given.
        side: Where the second one ran.
        reference: The first one.
        run: The second one.
        limits: What is wrong.
    """
    result = Result(path.name, side, run, limits)
    if run.error:
        return result
    # Of noise and single colors the class is nobody's concern.
    photos = {place for place, family in enumerate(inputs.families) if family == "photo"}
    shown = [
        dataclasses.replace(one, outputs={i: x for i, x in one.outputs.items() if i in photos})
        for one in (reference, run)
    ]
    graph = read_graph(path)
    answers = answers_of(graph, path, inputs.model_input)
    return dataclasses.replace(
        result,
        comparison=compare(reference, run, 0, _TOLERANCE),
        on_photos=compare(*shown, 0, _TOLERANCE, answers),
        snr_db=min(outputs_snr_db(graph, *shown, answers).values(), default=float("nan")),
    )


def format_results(results: Sequence[Result]) -> str:
    """A row for each file and runtime."""
    headers = ["model", "runtime", "ops on it", "equal values", "same answers on photos"]
    headers += ["their SNR", "ms", "verdict"]
    return format_table(headers, [_row(one) for one in results])


def _row(one: Result) -> list:
    run, compared = one.run, one.comparison
    told = compared is not None and compared.values
    agreement = one.on_photos and one.on_photos.agreement
    return [
        one.model,
        one.runtime,
        None if run.ops is None else f"{run.delegated_ops} of {run.ops}",
        f"{compared.equal / compared.values:.1%}" if told else None,
        None if agreement is None else f"{agreement:.1%}",
        None if one.snr_db is None else f"{one.snr_db:.1f} dB",
        None if one.milliseconds is None else f"{one.milliseconds:.2f}",
        one.verdict,
    ]
