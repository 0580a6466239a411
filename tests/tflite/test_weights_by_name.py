"""Weights that are fetched by name, in every command that takes a model's name."""

import pytest

from tests.tflite.commands import run_here
from tests.tflite.tiny_models import tiny_model
from tests.web_server import serve

COMMANDS = {
    "care_keras.convert": ("--model=care_s0_imagenet", "--int8"),
    "care_keras.train": ("--qat", "--from=care_s0_imagenet", "--data=bundled", "--run_dir=run"),
    "tflite.evaluate": ("--model=care_s0_imagenet",),
    "tflite.compare": ("--keras=care_s0_imagenet", "--model=tiny.tflite"),
    "tflite.benchmark_forms": ("--model=care_s0_imagenet",),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_network_is_one_line(command, tmp_path):
    pytest.importorskip("torch", reason="PyTorch not installed")
    with serve({}) as gone:
        pass
    (tmp_path / "tiny.tflite").write_bytes(tiny_model("conv"))
    home = tmp_path / "keras"
    done = run_here(
        command,
        *COMMANDS[command],
        folder=tmp_path,
        KERAS_HOME=str(home),
        CARE_KERAS_WEIGHTS_URL=gone.url,
    )
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ") and "Connection refused: set CARE_KERAS_WEIGHTS_URL" in last
    assert "Traceback" not in done.stderr
    assert [path.suffix for path in (home / "models").iterdir()] == [".lock"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keras", "tiny.tflite"]
