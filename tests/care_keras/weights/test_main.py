"""The command as a user runs it."""

import os

import keras
import pytest

from care_keras.models import CONFIGS, build_model
from care_keras.weights import checkpoint_entries
from tests.tflite.commands import run_here, run_process


def test_a_checkpoint_becomes_a_keras_file(weights_rule, safetensors_file, tmp_path, monkeypatch):
    # Only the shapes matter here, and random values take long to draw.
    monkeypatch.setattr(
        keras.initializers.TruncatedNormal,
        "__call__",
        lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype),
    )
    entries = checkpoint_entries(build_model(CONFIGS["nano"]))
    shapes = {entry.name: list(entry.shape) for entry in entries}
    checkpoint = safetensors_file(weights_rule.make_state_dict(shapes))
    output = tmp_path / "care.keras"
    flags = ("--model=nano", f"--checkpoint={checkpoint}", f"--output={output}", "--classes=3")
    result = run_process("care_keras.weights", *flags)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{output}: ")
    assert "new heads for 3 classes" in result.stdout
    assert result.stdout.endswith(" MB\n")
    assert keras.models.load_model(output).classes == 3


class Malicious:
    """Unpickling it runs a command, unless the reader refuses."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


def test_a_malicious_checkpoint_ends_in_one_line(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch not installed")
    mark = tmp_path / "executed"
    torch.save({"state_dict": Malicious(mark)}, tmp_path / "a.pth")
    output = tmp_path / "care.keras"
    flags = ("--arch=s0", f"--checkpoint={tmp_path / 'a.pth'}", f"--output={output}")
    result = run_here("care_keras.weights", *flags)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "error: The checkpoint holds posix.system, which is not data" in result.stderr
    assert "Traceback" not in result.stderr
    assert not mark.exists()
    assert not output.exists()
