import json

import pytest

from care_keras.ablation_study.report import largest_spread, markdown, text, write_report
from care_keras.console.optional import MissingDependencyError
from tests.care_keras.ablation_study.test_results import finished

__all__ = ["finished"]


@pytest.fixture
def result(finished):
    return write_report(finished.folder)


def test_rows_with_mean_spread_and_paired_differences(result):
    rows = [line.split() for line in text(result).splitlines()[2:]]
    assert [row[0] for row in rows] == ["base", "sym", "no_local"]
    ends = [" ".join(row[-9:]) for row in rows]
    assert ends[0].endswith("2 81.00 80.00 to 82.00 - -")
    assert ends[1] == "2 80.50 80.00 to 81.00 -0.50 -2.00 to +1.00"[-len(ends[1]) :]
    assert ends[2].endswith("70.00 70.00 to 70.00 -12.00 -12.00 to -12.00")


def test_markdown_says_what_it_is_of_and_how_much_of_it_is_chance(result):
    lines = markdown(result).splitlines()
    assert lines[0] == "# Ablations of nano on bundled"
    assert "the 1,000 images of bundled:test at the end of a training" in markdown(result)
    assert "`--epochs=2`" in markdown(result)
    assert "up to 2.00 points apart" in markdown(result)
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 5 and len({line.count("|") for line in table}) == 1
    assert lines[-2].startswith("python -m care_keras.ablate --model=nano")


def test_no_spread_is_told_of_single_runs(study):
    study.train(seeds=[0])
    result = write_report(study.folder)
    assert largest_spread(result) is None
    assert "apart" not in markdown(result)


def test_files(result, finished):
    names = {path.name for path in finished.folder.iterdir() if path.is_file()}
    assert names == {"ablations.md", "ablations.json", "ablations.png", ".lock"}
    assert json.loads((finished.folder / "ablations.json").read_text()) == json.loads(
        json.dumps(result.to_dict())
    )
    assert (finished.folder / "ablations.md").read_text() == markdown(result, has_picture=True)
    assert (finished.folder / "ablations.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_there_is_no_picture(finished, monkeypatch, capsys):
    def missing(*args):
        raise MissingDependencyError("matplotlib is needed")

    monkeypatch.setattr("care_keras.pictures.require", missing)
    write_report(finished.folder)
    assert "no picture: matplotlib is needed" in capsys.readouterr().out
    assert not (finished.folder / "ablations.png").exists()
    assert "ablations.png" not in (finished.folder / "ablations.md").read_text()
    assert (finished.folder / "ablations.md").exists()
