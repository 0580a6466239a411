"""The JSON that a command writes about models."""

import pytest

from care_keras.console.cli import UserError
from tflite.inputs.json_output import json_output


def test_what_describes_a_model_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models = ["other.tflite", str(tmp_path / "m.tflite")]
    with pytest.raises(UserError, match="--output_json=m.json is the place of what describes .*m"):
        json_output("m.json", models)
    assert json_output("m_audit.json", models).name == "m_audit.json"
    # A Keras model has no file beside it.
    assert json_output("k.json", ["k.keras"]).name == "k.json"
    assert json_output(None, models) is None
