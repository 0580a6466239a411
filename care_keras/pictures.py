"""What all pictures share: matplotlib without a display, colours, whole files."""

import os
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from care_keras.console.optional import require
from care_keras.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by readers who see no red or no green.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of a size in inches.

    Raises:
        MissingDependencyError: If matplotlib is not installed.
    """
    require("matplotlib", "report")
    from matplotlib.figure import Figure

    # `Figure` alone, without pyplot, needs no display and keeps no state.
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(
    figure: "Figure", path: str | os.PathLike, note: str | None = None, math: bool = False
) -> None:
    """Writes a figure, whole or not at all, in the format that the ending names.

    Args:
        figure: From `new_figure`.
        path: The file.
        note: A line below it: machine, data, runtime.
        math: Whether texts between dollars are formulas; else they stay as they are.

    Raises:
        OSError: If the file cannot be written.
    """
    if note:
        figure.supxlabel(note, fontsize=7, color="0.35")
    if not math:
        keep_dollars(figure)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)


def keep_dollars(figure: "Figure") -> None:
    """Draws the texts of a figure as they are: names of files and classes may hold dollars."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        # Powers at the ticks of an axis are matplotlib's own formulas.
        if "$" in text.get_text() and r"\mathdefault" not in text.get_text():
            text.set_parse_math(False)


def write_png(path: str | os.PathLike, pixels: np.ndarray) -> None:
    """Writes uint8 RGB pixels `(height, width, 3)` as a PNG file, whole or not at all.

    Raises:
        OSError: If the file cannot be written.
    """
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")
