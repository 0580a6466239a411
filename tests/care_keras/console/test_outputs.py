"""Files that a command writes."""

import pytest

from care_keras.console.cli import UserError
from care_keras.console.outputs import output_file


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a.txt", "--picture must end in .png or .svg, not 'a.txt'"),
        ("folder.png", "--picture=folder.png is a folder"),
        ("no/a.png", "--picture: there is no folder no"),
    ],
)
def test_places_of_no_use(tmp_path, monkeypatch, value, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match=message):
        output_file("picture", value, (".png", ".svg"))
    assert output_file("picture", None, (".png",)) is None
