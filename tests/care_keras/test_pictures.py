"""What all pictures share."""

import pytest

from care_keras.pictures import new_figure, save_figure


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_names_may_hold_dollars(tmp_path, ending):
    """Between two of them matplotlib reads a formula, and this one is none."""
    name = "under $5_to_$9^"
    figure = new_figure(3, 3)
    axes = figure.subplots()
    axes.set_title(name)
    axes.set_xticks([0, 1], [name, "b"])
    axes.annotate(name, (0, 0))
    axes.plot([1, 10], [1, 1000], label=name)
    axes.set_yscale("log")
    axes.legend()
    path = tmp_path / f"a.{ending}"
    save_figure(figure, path, note=f"data: {name}")
    assert path.stat().st_size > 1000
    ticks = [label.get_text() for label in axes.get_yticklabels()]
    assert any("10^{2}" in tick for tick in ticks)
    # Powers of the axis are still formulas.
    assert all(label.get_parse_math() for label in axes.get_yticklabels())


def test_formulas_where_they_are_meant(tmp_path):
    figure = new_figure(3, 3)
    figure.suptitle("$_$")
    with pytest.raises(ValueError, match="Parse"):
        save_figure(figure, tmp_path / "a.png", math=True)
    assert not (tmp_path / "a.png").exists()
