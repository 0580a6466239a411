"""Each command on the bundled model and on a network that is not ours."""

import json

import pytest

from care_keras.convert.conversion import convert_model
from care_keras.convert.sidecar import describe
from care_keras.models import load_preset
from tests.tflite.commands import ROOT, run_here
from tests.tflite.foreign_models import PREPROCESSING, foreign_tflite
from tests.tflite.tiny_classifiers import tiny_classifier

COMMANDS = {
    "evaluate": ("--data=bundled", "--samples=40", "--label_match=index"),
    "audit": (),
    "stress": ("--inputs=8",),
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


def commands_on_images():
    """Commands that open images for .tflite files of the user's."""
    for path in sorted((ROOT / "tflite").glob("*/__main__.py")):
        # The zoo has its own models, whose preparation it knows.
        if 'flags.DEFINE_string("data"' in _one_line(path) and path.parent.name != "zoo":
            yield path


def _one_line(path):
    return "".join(line.strip() for line in path.read_text().splitlines())


def test_every_command_on_images_has_the_flags_that_errors_name():
    """Messages of `tflite.inputs` tell the user to give --mean, --std or --size."""
    paths = list(commands_on_images())
    assert len(paths) > 7
    assert [path.parent.name for path in paths if "input_overrides()" not in path.read_text()] == []


@pytest.mark.parametrize("command", ["stress", "evaluate"])
def test_a_float_file_without_a_json(command, tmp_path):
    """The command runs with the flags that it asks for."""
    path = tmp_path / "plain.tflite"
    path.write_bytes(tiny_classifier("open"))
    flags = {"stress": ("--inputs=8",), "evaluate": ()}[command]
    missing = {"--mean=0,0,0": "give --mean and --std", "--size=8": "--size"}
    known = ("--mean=0,0,0", "--std=1,1,1", "--size=8")
    for flag, message in missing.items():
        given = [one for one in known if one != flag]
        done = run_here(f"tflite.{command}", f"--model={path}", *flags, *given)
        assert done.returncode == 2 and message in done.stderr.splitlines()[-1], done.stderr
    if command == "stress":
        done = run_here("tflite.stress", f"--model={path}", *flags, *known)
        assert done.returncode == 0 and "different outputs" in done.stdout, done.stderr
