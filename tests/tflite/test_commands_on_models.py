"""Each command on the bundled model and on a network that is not ours."""

import json

import pytest

from care_keras.convert.conversion import convert_model
from care_keras.convert.sidecar import describe
from care_keras.models import load_preset
from tests.tflite.commands import run_here
from tests.tflite.foreign_models import PREPROCESSING, foreign_tflite

COMMANDS = {
    "evaluate": ("--data=bundled", "--samples=40", "--label_match=index"),
    "audit": (),
    "benchmark": ("--engine=litert", "--rounds=3", "--runs=1", "--round_seconds=0"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Float32 files of both, each with the JSON that says how images are prepared."""
    folder = tmp_path_factory.mktemp("models")
    model = load_preset("care_nano_cifar10")
    contents = {
        "nano": (convert_model(model, model.preprocessing).content, model.preprocessing),
        "foreign": (foreign_tflite(), PREPROCESSING),
    }
    for name, (content, preprocessing) in contents.items():
        path = folder / f"{name}.tflite"
        path.write_bytes(content)
        record = describe(path, path.name, "float", "float32", preprocessing, None, "linear")
        path.with_suffix(".json").write_text(json.dumps(record))
    return [folder / f"{name}.tflite" for name in contents]


@pytest.mark.parametrize("command", COMMANDS)
def test_both_models(command, files):
    flags = [*COMMANDS[command], *(f"--model={path}" for path in files)]
    done = run_here(f"tflite.{command}", *flags)
    assert done.returncode == 0, done.stderr
    assert "nano.tflite" in done.stdout and "foreign.tflite" in done.stdout
