"""The one table printer of all command lines."""

import re
from collections.abc import Sequence

# A number, perhaps with a sign, grouped digits and a unit: "7,340,000", "-0.4 %", "1.04x".
_NUMBER = re.compile(r"[-+±]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?( ?(%|[^\W\d]+))?")
_MISSING = "-"


def format_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lays out rows as plain text under a line of headers.

    Columns of numbers are right-aligned, others left-aligned. An `int` gets
    thousands separators, a `float` four significant digits, `None` a dash; a
    string stays as it is, so pass one where another format is wanted.

    Args:
        headers: One title per column.
        rows: One sequence of cells per row.

    Returns:
        Lines joined by newlines, with no newline at the end and no trailing
        spaces.

    Raises:
        ValueError: If a row has more or fewer cells than there are headers.
    """
    for row in rows:
        if len(row) != len(headers):
            raise ValueError(
                f"Each row needs {len(headers)} cells, one per header. Received: row={list(row)}"
            )
    cells = [[_text(cell) for cell in row] for row in rows]
    columns = [[str(header), *(row[i] for row in cells)] for i, header in enumerate(headers)]
    widths = [max(len(text) for text in column) for column in columns]
    numeric = [_is_numeric(column[1:]) for column in columns]

    def line(texts):
        padded = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(texts, widths, numeric, strict=True)
        )
        return "  ".join(padded).rstrip()

    rule = ["-" * width for width in widths]
    return "\n".join(line(texts) for texts in ([str(h) for h in headers], rule, *cells))


def _text(cell):
    if cell is None:
        return _MISSING
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return str(cell)


def _is_numeric(texts):
    present = [text for text in texts if text not in (_MISSING, "")]
    return bool(present) and all(_NUMBER.fullmatch(text) for text in present)
