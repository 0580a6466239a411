"""The command, as a user has it."""

import json

import pytest

from tests.tflite.commands import run_command, run_here
from tests.tflite.compare.test_faults import shifted, with_constant, writer_of
from tests.tflite.compare.test_names import file, network

SAID = ("--mean=0.5,0.5,0.5", "--std=0.5,0.5,0.5", "--samples=20", "--layer_samples=4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    network().save(folder / "model.keras")
    (folder / "model.tflite").write_bytes(file())
    index = writer_of(file(), "functional_1/re_lu_2_1/")
    (folder / "broken.tflite").write_bytes(with_constant(file(), index, 2, shifted))
    return folder


def command(folder, *flags):
    return run_here("tflite.compare", f"--keras={folder}/model.keras", *flags)


def errors(finished):
    return [line for line in finished.stderr.splitlines() if line.startswith("error: ")]


def test_both_agree(folder):
    output = folder / "run.json"
    flags = (f"--model={folder}/model.tflite", *SAID, f"--output_json={output}")
    done = run_command(
        "compare", f"--keras={folder}/model.keras", *flags, CUDA_VISIBLE_DEVICES="-1"
    )
    assert done.returncode == 0 and not errors(done), done.stderr
    assert "model.tflite      20       100.00%" in done.stdout and "own SNR" in done.stdout
    content = json.loads(output.read_text())
    assert content["passed"] and content["output"]["images"] == 20
    assert content["settings"]["min_agreement"] == 0.98 and len(content["layers"]) == 13


def test_a_broken_layer(folder):
    output = folder / "figures.json"
    done = command(
        folder, f"--model={folder}/broken.tflite", *SAID, "--layers", f"--output_json={output}"
    )
    assert done.returncode == 1
    (line,) = errors(done)
    assert line.startswith("error: broken.tflite: ")
    assert "the first layer that goes wrong is re_lu_2 (CONV_2D, operator 2)" in line
    assert "re_lu_2  WRONG" in done.stdout
    assert json.loads(output.read_text())["first_wrong_layer"] == "re_lu_2"


def test_a_data_set_that_is_not_there(folder):
    output = folder / "none.json"
    flags = (f"--model={folder}/model.tflite", *SAID, f"--output_json={output}")
    done = command(folder, *flags, f"--data={folder}/photos")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    (line,) = errors(done)
    assert f"No such folder of images. Received: '{folder}/photos'" in line
    assert not list(folder.glob("none*")) and not list(folder.glob(".none*"))
