"""The command as a user runs it; a timing is never asserted."""

import json

import pytest

from tests.tflite.commands import run_command, run_here


def test_two_sizes(tmp_path):
    result = run_command(
        "benchmark_tokens",
        "--model=nano",
        "--size=32,16",
        "--rounds=3",
        "--round_seconds=0",
        "--stage=2",
        "--folder=files",
        "--output_json=tokens.json",
        "--picture=tokens.png",
        folder=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    content = json.loads((tmp_path / "tokens.json").read_text())
    assert [size["tokens"] for size in content["sizes"]] == [16, 64]
    assert content["settings"]["channels"] == 24 and content["settings"]["head_dim"] == 8
    assert content["growth"]["macs"]["linear"] == pytest.approx(1, abs=1e-12)
    assert 1 < content["growth"]["macs"]["softmax"] < 2
    # What it was measured on, and every round of every file.
    assert content["machine"]["cpu"] and content["versions"]["ai-edge-litert"]
    assert [len(model["rounds_ms"]) for model in content["models"]] == [3] * 4
    files = sorted(path.name for path in (tmp_path / "files").iterdir())
    assert files == [f"{kind}_{side}.tflite" for kind in ("linear", "softmax") for side in (16, 32)]
    assert (tmp_path / "tokens.png").read_bytes().startswith(b"\x89PNG")
    size = content["sizes"][1]
    for words in (
        f"{size['macs']['softmax'] / 1e6:.3f}",
        f"{size['softmax_to_linear']['value']:.2f}x",
        "fitted over 16 to 64 tokens",
        "care_nano, stage 2: attention of 24 channels in heads of 8, float32, batch 1",
    ):
        assert words in result.stdout


def test_bad_use_is_one_line_and_leaves_nothing(tmp_path):
    flags = ("--stage=1", "--output_json=tokens.json")
    result = run_here("tflite.benchmark_tokens", *flags, folder=tmp_path)
    assert result.returncode == 2, result.stderr
    message = "error: Attention is in the stages 3, 4 of care_s0. Received: stage=1"
    assert result.stderr.splitlines()[-1] == message
    assert "Traceback" not in result.stderr and not list(tmp_path.iterdir())
