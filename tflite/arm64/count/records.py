"""Counts of files, as JSON keeps them; it imports no more than that takes."""

import dataclasses
import json
import os
from collections.abc import Sequence

from care_keras.files import parse_json, read_bytes
from tflite.arm64.count.instructions import CLASSES, Counts


@dataclasses.dataclass(frozen=True)
class OperatorCounts:
    """All operators of one kind in a file, each run as a file of its own.

    Attributes:
        operator: `"CONV_2D"`.
        number: How many there are.
        counts: Their sum.
        not_counted: Why some are not in it, a text for each.
    """

    operator: str
    number: int
    counts: Counts
    not_counted: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Record:
    """One inference of one file under one runtime as one core.

    Attributes:
        model: Name of the file, without its folder.
        runtime: Name of the runtime, `"2.3.0"`.
        core: Name of the core, as it was asked for.
        cpu_model: What qemu was asked for.
        qemu: Its version.
        counts: What was executed.
        operators: The same by kinds of operators, `None` if that was not asked.
    """

    model: str
    runtime: str
    core: str
    cpu_model: str
    qemu: str
    counts: Counts
    operators: tuple[OperatorCounts, ...] | None = None

    @property
    def name(self) -> str:
        """For people: `"s0_int8.tflite, 2.3.0, cortex-a76"`."""
        return f"{self.model}, {self.runtime}, {self.core}"

    def to_dict(self) -> dict:
        """As plain JSON types."""
        return {
            **{name: getattr(self, name) for name in ("model", "runtime", "core", "cpu_model")},
            "qemu": self.qemu,
            **_figures(self.counts),
            "operators": None
            if self.operators is None
            else [
                {
                    "operator": one.operator,
                    "number": one.number,
                    **_figures(one.counts),
                    "not_counted": list(one.not_counted),
                }
                for one in self.operators
            ],
        }


def to_json(records: Sequence[Record]) -> str:
    """The content of a file."""
    return json.dumps([record.to_dict() for record in records], indent=1) + "\n"


def read_records(path: str | os.PathLike) -> list[Record]:
    """What `to_json` has written.

    Raises:
        ValueError: If it cannot be read, or is something else.
    """
    content = read_bytes(path)
    try:
        return [_record(entry) for entry in parse_json(content)]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(
            "The file is none that python -m tflite.arm64 --count has written. "
            f"Received: {os.fspath(path)}"
        ) from error


def _figures(counts):
    return {
        "total": counts.total,
        "vector_arithmetic": counts.arithmetic,
        "by_class": dict(counts.by_class),
    }


def _record(entry):
    operators = entry["operators"]
    return Record(
        **{name: _text(entry[name]) for name in ("model", "runtime", "core", "cpu_model", "qemu")},
        counts=_counts(entry),
        operators=None
        if operators is None
        else tuple(
            OperatorCounts(
                _text(one["operator"]), int(one["number"]), _counts(one), tuple(one["not_counted"])
            )
            for one in operators
        ),
    )


def _text(value):
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _counts(entry):
    return Counts({name: int(entry["by_class"][name]) for name in CLASSES})
