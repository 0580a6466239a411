"""A .tflite file in other versions of the runtime: `python -m tflite.runtimes --python=PYTHON`.

Each `--python` is the Python of an environment with NumPy and another version of
LiteRT (`ai-edge-litert`) or of its predecessor (`tflite-runtime`). Runs files there
on photos and extreme images and compares with this environment's runtime: equal,
within some codes, or wrong. Exit code 1 where a file does not run, or where too
many photos get another class. Times are wall times, to tell fast from slow by.
"""

import dataclasses
import json
import os
import pathlib
import shutil

import numpy as np
from absl import flags

from care_keras.console import cli
from care_keras.console.outputs import output_file, write_output
from care_keras.console.table import format_table
from care_keras.files import check_readable
from care_keras.metrics import finite_or_none
from tflite.inputs.flags import input_overrides
from tflite.runs.compare import Comparison, compare
from tflite.runs.python import command_of, host_command
from tflite.runs.run import Run, run_with_progress

_MODEL = flags.DEFINE_multi_string("model", None, "A .tflite file; give several.", required=True)
_PYTHON = flags.DEFINE_multi_string(
    "python", None, "The Python of an environment with another runtime; several.", required=True
)
_DATA = flags.DEFINE_string("data", "bundled", "Photos: DIR, tfds:NAME[:SPLIT] or bundled.")
_INPUTS = flags.DEFINE_integer(
    "inputs", 200, "Images: constant, single pixel, noise, photo in turn.", lower_bound=4
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the images.", lower_bound=0)
_MIN_AGREEMENT = flags.DEFINE_float(
    "min_agreement",
    0.9,
    "Share of photos of which both pick one class, below which a runtime is wrong.",
    lower_bound=0.0,
    upper_bound=1.0,
)
_TIMEOUT = flags.DEFINE_float("timeout", 120, "Seconds for one inference.", lower_bound=0.1)
_OUTPUT_JSON = flags.DEFINE_string("output_json", None, "A file to write the results to.")

# Of an output in floats, relative to its largest value: seen are some 1e-6.
_TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True, eq=False)
class _Result:
    """One file in one runtime."""

    model: str
    run: Run
    comparison: Comparison | None
    same_class: float | None

    @property
    def runtime(self) -> str:
        return f"{self.run.runtime['package']} {self.run.runtime['version']}"

    @property
    def milliseconds(self) -> float | None:
        return 1e3 * float(np.median(self.run.seconds)) if self.run.seconds else None

    @property
    def verdict(self) -> str:
        """`"equal"`, `"within 2 codes"`, `"wrong"` or what kept it from running."""
        if self.run.error or self.comparison.failures:
            return "does not run"
        largest, relative = self.comparison.largest_codes, self.comparison.largest_relative
        if self.same_class is not None and self.same_class < _MIN_AGREEMENT.value:
            return "wrong"
        if self.comparison.equal == self.comparison.values:
            return "equal"
        if largest:
            return f"within {largest} codes"
        return f"within {relative:.1g}"


def main() -> None:
    """The command."""
    output_json = output_file("output_json", _OUTPUT_JSON.value, (".json",))
    overrides = input_overrides()
    pythons = [_python(name) for name in dict.fromkeys(_PYTHON.value)]
    paths = [pathlib.Path(name) for name in dict.fromkeys(_MODEL.value)]
    for path in paths:
        check_readable(path)
    from tflite.inputs.real_and_extreme import make_inputs

    results, limit = [], _TIMEOUT.value
    for path in paths:
        inputs = make_inputs(path, _DATA.value, _INPUTS.value, _SEED.value, overrides)
        here = run_with_progress(host_command(), path, inputs, "this environment", limit)
        if here.error:
            raise ValueError(here.error)
        results.append(_result(path, inputs, here, here))
        for python in pythons:
            run = run_with_progress(command_of(python), path, inputs, python, limit)
            results.append(_result(path, inputs, here, run))
    print(f"\n{_table(results)}\n\nagainst the first row of each file, on {_INPUTS.value} images")
    if output_json:
        write_output(output_json, json.dumps([_record(one) for one in results], indent=1) + "\n")
    failed = [
        f"{one.model} in {one.runtime}: {one.run.error or one.verdict}"
        for one in results
        if one.verdict in ("wrong", "does not run")
    ]
    if failed:
        raise cli.CheckError("; ".join(failed))


def _python(name):
    found = shutil.which(name)
    if found is None:
        raise cli.UserError(f"--python: there is no program {name}")
    # Through links, an environment's Python would be another one.
    return os.path.abspath(found)


def _result(path, inputs, reference, run):
    if run.error:
        return _Result(path.name, run, None, None)
    # Of noise and single colors the class is nobody's concern.
    photos = {place for place, family in enumerate(inputs.families) if family == "photo"}
    shown = [
        dataclasses.replace(one, outputs={i: x for i, x in one.outputs.items() if i in photos})
        for one in (reference, run)
    ]
    return _Result(
        path.name,
        run,
        compare(reference, run, 0, _TOLERANCE),
        compare(*shown, 0, _TOLERANCE).top1_agreement,
    )


def _table(results):
    headers = [
        "model",
        "runtime",
        "XNNPACK ops",
        "equal values",
        "photos of one class",
        "ms",
        "verdict",
    ]
    rows = []
    for one in results:
        run, compared = one.run, one.comparison
        told = compared is not None and compared.values
        rows.append(
            [
                one.model,
                one.runtime,
                None if run.ops is None else f"{run.delegated_ops} of {run.ops}",
                f"{compared.equal / compared.values:.1%}" if told else None,
                None if one.same_class is None else f"{one.same_class:.1%}",
                None if one.milliseconds is None else f"{one.milliseconds:.2f}",
                one.verdict,
            ]
        )
    return format_table(headers, rows)


def _record(result):
    compared = result.comparison
    relative = compared and compared.largest_relative
    return {
        "model": result.model,
        "runtime": result.run.runtime,
        "operators": result.run.ops,
        "delegated": result.run.delegated_ops,
        "values": compared and compared.values,
        "equal": compared and compared.equal,
        "largest_codes": compared and compared.largest_codes,
        "largest_relative": relative if relative is None else finite_or_none(relative),
        "photos_of_one_class": result.same_class,
        "failures": compared and compared.failures,
        "median_ms": result.milliseconds,
        "verdict": result.verdict,
        "error": result.run.error,
    }


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
