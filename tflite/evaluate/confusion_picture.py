"""Confusion matrices as a picture."""

import os

import numpy as np

from care_keras.pictures import new_figure, save_figure
from tflite.evaluate.evaluation import Evaluation

# Classes up to which a cell holds its count, and up to which classes are named.
_COUNTS, _NAMES = 20, 60
# Classes from which on a cell is too small to be seen, and a dot stands for it.
_DOTS = 200
_LONGEST_NAME = 20


def draw(evaluation: Evaluation, path: str | os.PathLike, note: str) -> None:
    """Writes a panel for each model, whole or not at all.

    The colour is the share of the row's class; white cells have no image.

    Args:
        evaluation: What to show.
        path: File that ends in .png, .svg or .pdf.
        note: Line below: data, machine, runtime.

    Raises:
        MissingDependencyError: If matplotlib is not installed.
        OSError: If the file cannot be written.
    """
    classes = len(evaluation.class_names)
    side = min(9.0, max(4.2, 0.42 * classes))
    panels = len(evaluation.models)
    figure = new_figure((side + 0.9) * panels, side + 1.1)
    for model, accuracy, axes in zip(
        evaluation.models,
        evaluation.accuracies,
        figure.subplots(1, panels, squeeze=False)[0],
        strict=True,
    ):
        image = _panel(axes, accuracy, evaluation.class_names)
        axes.set_title(f"{model.name}: top-1 {accuracy.top1.value:.2%}", fontsize=9)
    bar = figure.colorbar(image, ax=figure.axes, fraction=0.03, pad=0.01)
    bar.set_label("share of the images of the class", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    save_figure(figure, path, note)


def _panel(axes, accuracy, names):
    classes = len(names)
    with np.errstate(invalid="ignore"):
        shares = accuracy.confusion / accuracy.class_images[:, None]
    rows, columns = np.nonzero(accuracy.confusion)
    colors = {"cmap": "Blues", "vmin": 0, "vmax": 1}
    if classes < _DOTS:
        shares = np.ma.masked_where(accuracy.confusion == 0, shares)
        image = axes.imshow(shares, interpolation="nearest", **colors)
    else:
        image = axes.scatter(columns, rows, 6, shares[rows, columns], marker="s", **colors)
        axes.set_aspect("equal")
        axes.set_xlim(-0.5, classes - 0.5)
        axes.set_ylim(classes - 0.5, -0.5)
    axes.set_xlabel("predicted class", fontsize=8)
    axes.set_ylabel("true class", fontsize=8)
    axes.tick_params(labelsize=7)
    if classes <= _NAMES:
        short = [
            name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…" for name in names
        ]
        axes.set_xticks(range(classes), short, rotation=90)
        axes.set_yticks(range(classes), short)
    if classes <= _COUNTS:
        for row, column in zip(rows, columns, strict=True):
            axes.text(
                column,
                row,
                f"{accuracy.confusion[row, column]:,}",
                ha="center",
                va="center",
                fontsize=7,
                color="white" if shares[row, column] > 0.5 else "black",
            )
    return image
