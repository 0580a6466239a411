"""A picture of a run: loss, accuracy and learning rate over the epochs."""

import pathlib

from care_keras.pictures import new_figure, save_figure

_SIZE = (7.0, 8.0)
# What stands in the log beside the figures of the model.
_OTHER = ("epoch", "images_per_second", "seconds")


def draw_curves(rows: list[dict], path: pathlib.Path, title: str) -> None:
    """Draws a log, if there is any: a panel for each figure, training and evaluation in one.

    Args:
        rows: Of the log.
        path: The PNG file.
        title: Stands above.

    Raises:
        MissingDependencyError: If matplotlib is not installed.
        OSError: If the file cannot be written.
    """
    figure = new_figure(*_SIZE)
    if not rows:
        return
    names = dict.fromkeys(
        name.removeprefix("val_") for row in rows for name in row if name not in _OTHER
    )
    # The learning rate, which explains the others, comes last.
    names = sorted(names, key=lambda name: name == "learning_rate")
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for panel, name in zip(panels, names, strict=True):
        for prefix, label in (("", "training"), ("val_", "evaluation")):
            drawn = [row for row in rows if prefix + name in row]
            if drawn:
                panel.plot(
                    [row["epoch"] for row in drawn],
                    [row[prefix + name] for row in drawn],
                    # One epoch makes no line.
                    marker="." if len(drawn) < 50 else None,
                    label=label,
                )
        panel.set_ylabel(name.replace("_", " "))
        panel.grid(alpha=0.3)
        if name != "learning_rate":
            panel.legend()
    panels[-1].set_xlabel("epoch")
    panels[-1].xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(title)
    save_figure(figure, path)
