"""Fuzzes the readers of the library: `python -m tests.fuzz --format=tflite --seconds=600`.

Mutants of sound files are read in processes of their own. Each is read, or refused by one line of
the library's own; another exception, a signal, more than 10 s or more than 1 GiB is a finding,
saved below --save_to under a name that --replay takes. Exit code 1 with findings.
"""

import os
import pathlib

from absl import flags

os.environ.setdefault("CARE_KERAS_COMMAND", "1")  # Without Keras, as the project's commands.

from care_keras.console import cli
from care_keras.console.progress import progress
from care_keras.console.table import format_table
from tests.fuzz import campaign
from tests.fuzz.formats import MODULES

_FORMAT = flags.DEFINE_multi_enum(
    "format", None, list(MODULES), "Format; may be repeated (default: all of them)."
)
_SECONDS = flags.DEFINE_float("seconds", 60.0, "Seconds for each format, at most.", 0.0)
_MUTANTS = flags.DEFINE_integer("mutants", 10**9, "Mutants of each format, at most.", 1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the mutants: the same ones for the same seed.")
_SAVE_TO = flags.DEFINE_string("save_to", "runs/fuzz", "Folder for mutants that are findings.")
_REPLAY = flags.DEFINE_string("replay", None, "A saved mutant: reads it alone.")

_HEADERS = (
    "format",
    "files",
    "mutants",
    "refused",
    "accepted",
    "findings",
    "seconds",
    "slowest ms",
)


def main() -> None:
    """The command."""
    if _REPLAY.value:
        answer = campaign.replay(pathlib.Path(_REPLAY.value))
        if "finding" in answer:
            raise cli.CheckError(f"{_REPLAY.value}: {answer['finding']}")
        print(f"{_REPLAY.value}: {next(iter(answer))}")
        return
    campaigns = [_run(name) for name in _FORMAT.value or MODULES]
    rows = [
        [
            *(one.format, one.files, one.mutants, one.refused, one.accepted, len(one.findings)),
            *(round(one.seconds), round(1e3 * one.longest)),
        ]
        for one in campaigns
    ]
    total = [sum(row[place] for row in rows) for place in range(1, len(_HEADERS) - 1)]
    rows.append(["all", *total, max(row[-1] for row in rows)])
    print(format_table(_HEADERS, rows))
    for one in campaigns:
        if one.skipped:
            print(f"{one.format} is left out: {one.skipped}")
        for text in one.findings.values():
            print(f"{one.format}: {text}")
    if found := sum(len(one.findings) for one in campaigns):
        raise cli.CheckError(f"{found} kinds of findings, above")


def _run(name):
    """A campaign, with a bar of its time or its mutants, whichever ends it first."""
    steps = iter(progress(range(100), f"fuzzing {name}, %"))
    shown = 0

    def show(found):
        nonlocal shown
        share = max(found.seconds / (_SECONDS.value or 1), found.mutants / _MUTANTS.value)
        while shown < min(100 * share, 100):
            shown += 1
            next(steps, None)

    done = campaign.run(
        name, _SEED.value, _MUTANTS.value, _SECONDS.value, pathlib.Path(_SAVE_TO.value), show
    )
    for _ in steps:
        pass
    return done


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
