import sys

import numpy as np
import pytest
from PIL import Image

from care_keras.console.optional import MissingDependencyError
from care_keras.training.result import _draw
from care_keras.training.run.curves import draw_curves
from care_keras.training.run.folder import RunFolder
from tests.care_keras.training.runs import settings

ROWS = [
    {
        "epoch": epoch,
        "learning_rate": 0.1 / epoch,
        "loss": 2.0 / epoch,
        "accuracy": 1 - 0.5 / epoch,
        "images_per_second": 100.0,
        "seconds": 3.0,
        **({"val_loss": 2.5 / epoch, "val_accuracy": 1 - 0.7 / epoch} if epoch % 2 else {}),
    }
    for epoch in range(1, 6)
]


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn."""
    from matplotlib import figure

    drawn = []

    class Figure(figure.Figure):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            drawn.append(self)

    monkeypatch.setattr(figure, "Figure", Figure)
    return drawn


def lines_of(figure):
    return {
        (panel.get_ylabel(), line.get_label()): line.get_xydata().tolist()
        for panel in figure.axes
        for line in panel.lines
    }


def test_every_figure_of_the_log_is_drawn(tmp_path, figures):
    draw_curves(ROWS, tmp_path / "curves.png", "a run")
    lines = lines_of(figures[0])
    assert lines.keys() == {
        ("loss", "training"),
        ("loss", "evaluation"),
        ("accuracy", "training"),
        ("accuracy", "evaluation"),
        ("learning rate", "training"),
    }
    assert lines["loss", "training"] == [[row["epoch"], row["loss"]] for row in ROWS]
    assert lines["accuracy", "evaluation"] == [
        [row["epoch"], row["val_accuracy"]] for row in ROWS[::2]
    ]
    assert figures[0].axes[-1].get_ylabel() == "learning rate"
    pixels = np.asarray(Image.open(tmp_path / "curves.png").convert("L"))
    assert pixels.shape[0] > 500 and len(np.unique(pixels)) > 10
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]


def test_one_epoch_and_none(tmp_path, figures):
    draw_curves(ROWS[:1], tmp_path / "one.png", "a run")
    assert lines_of(figures[0])["loss", "training"] == [[1, 2.0]]
    # A point is seen by its marker alone.
    assert figures[0].axes[0].lines[0].get_marker() == "."
    draw_curves([], tmp_path / "none.png", "a run")
    assert not (tmp_path / "none.png").exists()


def test_without_matplotlib_a_line_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"pip install .*\[report\]'"):
        draw_curves(ROWS, tmp_path / "curves.png", "a run")
    _draw(RunFolder(tmp_path), settings(tmp_path, tmp_path))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and lines[0].startswith("no picture of the curves: matplotlib is needed")
    assert not list(tmp_path.iterdir())
