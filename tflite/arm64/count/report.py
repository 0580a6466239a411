"""Counts and comparisons as tables."""

from collections import Counter
from collections.abc import Sequence

from care_keras.console.table import format_table
from tflite.arm64.count.compare import Comparison
from tflite.arm64.count.instructions import CLASSES, Counts
from tflite.arm64.count.records import Record

# Classes that no kernel of today has are shown where they are in use.
_RARE = ("scalable",)
_TITLES = {
    "multiply_long": "multiply-long",
    "other_vector": "other vector",
    "vector_load": "vector loads",
    "vector_store": "vector stores",
    "scalable": "SVE, SME",
}


def format_counts(records: Sequence[Record]) -> str:
    """A table of whole files."""
    classes = _classes([record.counts for record in records])
    rows = [
        [record.model, record.runtime, record.core, *_cells(record.counts, classes)]
        for record in records
    ]
    return "millions of executed instructions of one inference, 1 thread\n" + format_table(
        ["model", "runtime", "core", *_headers(classes)], rows
    )


def format_operators(record: Record) -> str:
    """A table of a file's kinds of operators, and of what is not in it."""
    operators = sorted(record.operators, key=lambda one: -one.counts.total)
    whole = sum((one.counts for one in operators), Counts(dict.fromkeys(CLASSES, 0)))
    classes = _classes([record.counts, whole])
    rows = [
        [
            one.operator,
            one.number,
            _share(one.counts, whole),
            *_cells(one.counts, classes),
        ]
        for one in operators
    ]
    number = sum(one.number for one in operators)
    rows.append(["their sum", number, _share(whole, whole), *_cells(whole, classes)])
    rows.append(["the whole file", number, None, *_cells(record.counts, classes)])
    lines = [
        f"{record.name}: its operators, each run as a file of its own",
        format_table(["operator", "number", "share", *_headers(classes)], rows),
    ]
    for one in operators:
        for reason, times in Counter(one.not_counted).items():
            lines.append(f"not counted: {times} of {one.number} {one.operator}: {reason}")
    return "\n".join(lines)


def format_comparison(comparisons: Sequence[Comparison], max_growth: float) -> str:
    """A table of what grew and what shrank.

    Args:
        comparisons: What `compare` gives.
        max_growth: The share by which a figure may grow.
    """
    rows = [
        [
            one.name,
            one.figure,
            _millions(one.before),
            _millions(one.after),
            *_verdict(one, max_growth),
        ]
        for one in comparisons
    ]
    headers = ["file, runtime, core", "instructions", "before", "after", "growth", "verdict"]
    return "millions of executed instructions of one inference\n" + format_table(headers, rows)


def _classes(counts):
    return [
        name for name in CLASSES if name not in _RARE or any(one.by_class[name] for one in counts)
    ]


def _headers(classes):
    return ["total", "vector arithmetic", *(_TITLES.get(name, name) for name in classes)]


def _cells(counts, classes):
    figures = [counts.total, counts.arithmetic, *(counts.by_class[name] for name in classes)]
    return [_millions(figure) for figure in figures]


def _share(counts, whole):
    return f"{counts.total / (whole.total or 1):.1%}"


def _millions(instructions):
    return f"{instructions / 1e6:.2f}"


def _verdict(one, max_growth):
    text = f"{one.growth:+z.2%}" if one.before else None
    if one.growth > max_growth:
        return text, "grew"
    return text, "shrank" if one.growth < -max_growth else "same"
