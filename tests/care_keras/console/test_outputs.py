"""Files that a command writes."""

import pytest

from care_keras.console.cli import UserError
from care_keras.console.outputs import output_file


def test_what_describes_a_model_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models = ["other.tflite", str(tmp_path / "m.tflite")]
    with pytest.raises(UserError, match="--output_json=m.json would replace what describes .*m.tf"):
        output_file("output_json", "m.json", (".json",), models)
    assert output_file("output_json", "m_audit.json", (".json",), models).name == "m_audit.json"
    # A Keras model has no file beside it.
    assert output_file("output_json", "k.json", (".json",), ["k.keras"]).name == "k.json"


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
