"""The part of `python -m tflite.arm64` that counts instructions.

Importing it defines its flags: for the command alone.
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from care_keras.console import cli
from care_keras.console.outputs import write_output
from tflite.arm64.count.compare import Comparison, compare
from tflite.arm64.count.records import Record, read_records, to_json
from tflite.arm64.count.report import format_comparison, format_counts, format_operators

_COUNT = flags.DEFINE_bool(
    "count", False, "Count the executed instructions of one inference instead, with one thread."
)
_COUNT_OPERATORS = flags.DEFINE_bool(
    "count_operators", False, "And those of each kind of operator, by files of one operator each."
)
_COMPARE = flags.DEFINE_multi_string(
    "compare",
    [],
    "An --output_json of --count to hold the counts against; give two, before and after, to "
    "compare them without a run.",
)
_MAX_GROWTH = flags.DEFINE_float(
    "max_growth", 1.0, "Percent by which a count may grow; more is exit code 1.", lower_bound=0.0
)
# Flags of the check that say nothing of a count.
_OF_THE_CHECK = ("threads", "inputs", "max_codes", "tolerance", "operators")


def is_asked() -> bool:
    """Whether instructions are to be counted.

    Raises:
        cli.UserError: If flags contradict each other.
    """
    if not _COUNT.value:
        for flag in (_COUNT_OPERATORS, _COMPARE, _MAX_GROWTH):
            if flag.present:
                raise cli.UserError(f"--{flag.name} goes with --count")
        return False
    for name in _OF_THE_CHECK:
        if flags.FLAGS[name].present:
            raise cli.UserError(f"--{name} goes without --count, which runs one thread on photos")
    return True


def with_operators() -> bool:
    """Whether operators are to be counted too."""
    return _COUNT_OPERATORS.value


def read_compared(has_models: bool) -> list[list[Record]]:
    """The runs of `--compare`.

    Raises:
        cli.UserError: If there are too many, or too few without a model.
        ValueError: If one is no such file.
    """
    most = 1 if has_models else 2
    if len(_COMPARE.value) > most:
        raise cli.UserError(
            f"--compare is given {len(_COMPARE.value)} times: once with --model, twice without"
        )
    return [read_records(path) for path in _COMPARE.value]


def check_names(paths: Sequence[pathlib.Path]) -> None:
    """Raises `cli.UserError` where two files have one name, by which counts are told apart."""
    for place, path in enumerate(paths):
        if path.name in {one.name for one in paths[:place]}:
            raise cli.UserError(f"--model: two files are named {path.name}; --count tells by names")


def finish(
    records: Sequence[Record], compared: Sequence[Sequence[Record]], output: pathlib.Path | None
) -> None:
    """Prints and writes the counts, and holds them against those before.

    Args:
        records: The counts, if any were taken.
        compared: The runs of `--compare`.
        output: The file of `--output_json`.

    Raises:
        cli.CheckError: If one grew by more than `--max_growth`.
        ValueError: If the runs have nothing in common.
    """
    if records:
        print(f"\n{format_counts(records)}")
        for record in records:
            if record.operators is not None:
                print(f"\n{format_operators(record)}")
        if output:
            write_output(output, to_json(records))
    runs = [*compared, records] if records else compared
    if len(runs) == 2:
        _hold(*runs)


def _hold(before, after):
    comparisons, limit = compare(before, after), _MAX_GROWTH.value / 100
    print(f"\n{format_comparison(comparisons, limit)}")
    _tell_missing("after", before, after)
    _tell_missing("before", after, before)
    then, now = ({record.qemu for record in run} for run in (before, after))
    if then != now:
        print(f"qemu {', '.join(sorted(then))} before, {', '.join(sorted(now))} after")
    if grown := [_text(one) for one in comparisons if one.growth > limit]:
        raise cli.CheckError(f"grew by more than {_MAX_GROWTH.value:g} %: {'; '.join(grown)}")


def _tell_missing(side, records, others):
    known = {record.name for record in others}
    for record in records:
        if record.name not in known:
            print(f"not compared: {record.name} (there is none {side})")


def _text(one: Comparison) -> str:
    return f"{one.figure} of {one.name} by {100 * one.growth:.1f} %"
