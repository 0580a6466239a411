"""Holds a run against an old one: `python -m android_bench compare old.jsonl new.jsonl`.

Exit code 1 if something is slower beyond noise, or failed that ran before.
"""

import json

from absl import flags

from android_bench.records import read_records
from android_bench.report.compare import compare
from android_bench.report.contents import milliseconds
from care_keras.console import cli
from care_keras.console.outputs import write_output
from care_keras.console.table import format_table
from tflite.benchmark.tables import interval

_TOLERANCE = flags.DEFINE_float(
    "tolerance",
    0.05,
    "Share by which two runs of one thing may differ: the whole interval has to lie beyond it.",
    lower_bound=0,
)
_OUTPUT_JSON = flags.DEFINE_string("output_json", None, "Also write the comparison as JSON.")
# What it was called before it had the name that other commands give it.
flags.DEFINE_alias("json", "output_json")


def main(old: str, new: str) -> None:
    """The command."""
    comparisons, notes = compare(read_records(old), read_records(new), _TOLERANCE.value)
    rows = []
    several = len({pair.phone for pair in comparisons}) > 1
    for pair in comparisons:
        cell, ratio = pair.new or pair.old, pair.ratio
        rows.append(
            [
                *([pair.phone] if several else []),
                *(cell.label, cell.delegate, cell.threads, cell.cores),
                _ms(pair.old),
                _ms(pair.new),
                ratio and f"{ratio.value:.3f}x",
                ratio and interval(ratio, 3),
                pair.verdict,
            ]
        )
    headers = ["phone"] if several else []
    headers += ["model", "delegate", "threads", "cores", "old", "new", "ratio", "95 % interval", ""]
    print(format_table(headers, rows))
    for note in notes:
        print(f"note: {note}")
    if _OUTPUT_JSON.value:
        lines = [dict(zip([*headers[:-1], "verdict"], line, strict=True)) for line in rows]
        content = json.dumps({"cells": lines, "notes": notes}, indent=2)
        write_output(_OUTPUT_JSON.value, content)
    bad = [pair for pair in comparisons if pair.bad]
    if bad:
        raise cli.CheckError("; ".join(f"{pair.new.name} {_word(pair)}" for pair in bad))


def _ms(cell):
    return milliseconds(cell.p50.value) if cell and cell.p50 else None


def _word(pair):
    return "failed" if pair.verdict == "failed" else f"is slower, {pair.ratio.value:.2f}x"


def start() -> None:
    """Runs it as the program."""
    cli.run(
        main, ["the file of the old run", "the file of the new run"], input_errors=(ValueError,)
    )
