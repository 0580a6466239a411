"""Long lines of a report, for a terminal."""

import textwrap

_WIDTH = 100


def wrapped(line: str) -> str:
    """Breaks a line between its words; what follows the first is indented.

    Names and paths stay whole, however long they are.
    """
    return textwrap.fill(line, _WIDTH, subsequent_indent="    ", break_long_words=False)
