"""Confusion matrices as a picture."""

import os
from collections.abc import Sequence

import numpy as np

from care_keras.pictures import new_figure, save_figure
from tflite.evaluate.evaluation import Evaluation

# Classes up to which a cell holds its count, and up to which all are drawn.
_COUNTS, _ALL = 20, 60
# Of more classes those are drawn that are most often taken for one another.
_MOST_CONFUSED = 30
_LONGEST_NAME = 20


def draw(evaluation: Evaluation, path: str | os.PathLike, note: str) -> None:
    """Writes a panel for each model, whole or not at all.

    The colour is the share of the row's class; white cells have no image. Of many classes those are
    drawn that are most often taken for one another.

    Args:
        evaluation: What to show.
        path: File that ends in .png, .svg or .pdf.
        note: Line below: data, machine, runtime.

    Raises:
        MissingDependencyError: If matplotlib is not installed.
        OSError: If the file cannot be written.
    """
    shown = most_confused([accuracy.confusion for accuracy in evaluation.accuracies])
    side = min(9.0, max(4.2, 0.42 * len(shown)))
    panels = len(evaluation.models)
    figure = new_figure((side + 0.9) * panels, side + 1.1)
    for model, accuracy, axes in zip(
        evaluation.models,
        evaluation.accuracies,
        figure.subplots(1, panels, squeeze=False)[0],
        strict=True,
    ):
        image = _panel(axes, accuracy, evaluation.class_names, shown)
        title = f"{model.name}: top-1 {accuracy.top1.value:.2%}"
        if len(shown) < len(evaluation.class_names):
            title += f"\n{_share_of_mistakes(accuracy.confusion, shown)}"
        axes.set_title(title, fontsize=9)
    bar = figure.colorbar(image, ax=figure.axes, fraction=0.03, pad=0.01)
    bar.set_label("share of the images of the class", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    save_figure(figure, path, note)


def most_confused(confusions: Sequence[np.ndarray]) -> np.ndarray:
    """Classes that are drawn, in their order: all, or those most often taken for one another.

    Args:
        confusions: `(classes, classes)` of each model: images of the row's class by answers.
    """
    mistakes = np.sum(confusions, axis=0)
    np.fill_diagonal(mistakes, 0)
    if len(mistakes) <= _ALL:
        return np.arange(len(mistakes))
    shown: dict[int, None] = {}
    # Whole pairs, the most frequent first: a class without its partner would show nothing.
    for place in np.argsort(-mistakes, axis=None, kind="stable"):
        pair = np.unravel_index(place, mistakes.shape)
        if len(shown.keys() | {*pair}) > _MOST_CONFUSED:
            break
        shown.update(dict.fromkeys(pair))
    return np.array(sorted(shown))


def _share_of_mistakes(confusion, shown):
    part = confusion[np.ix_(shown, shown)]
    mistakes, all_mistakes = (int(one.sum() - one.trace()) for one in (part, confusion))
    return (
        f"the {len(shown)} of {len(confusion):,} classes most often taken for one another: "
        f"{mistakes:,} of {all_mistakes:,} mistakes"
    )


def _panel(axes, accuracy, names, shown):
    confusion = accuracy.confusion[np.ix_(shown, shown)]
    with np.errstate(invalid="ignore"):
        shares = confusion / accuracy.class_images[shown, None]
    image = axes.imshow(
        np.ma.masked_where(confusion == 0, shares),
        interpolation="nearest",
        cmap="Blues",
        vmin=0,
        vmax=1,
    )
    axes.set_xlabel("predicted class", fontsize=8)
    axes.set_ylabel("true class", fontsize=8)
    axes.tick_params(labelsize=7)
    short = [
        name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
        for name in (names[index] for index in shown)
    ]
    axes.set_xticks(range(len(shown)), short, rotation=90)
    axes.set_yticks(range(len(shown)), short)
    if len(shown) <= _COUNTS or len(shown) < len(names):
        for row, column in zip(*np.nonzero(confusion), strict=True):
            axes.text(
                column,
                row,
                f"{confusion[row, column]:,}",
                ha="center",
                va="center",
                fontsize=7,
                color="white" if shares[row, column] > 0.5 else "black",
            )
    return image
