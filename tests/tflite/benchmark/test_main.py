"""The command as a user runs it."""

import json

from tests.tflite import litert_program
from tests.tflite.commands import run_command, run_here
from tests.tflite.fake_benchmark_model import write_fake, write_litert_fake
from tests.tflite.latencies import made_up
from tests.tflite.tiny_models import tiny_model
from tflite.benchmark.engine import RoundPlan
from tflite.benchmark.litert_engine import LiteRTEngine
from tflite.benchmark.report import report


def test_two_files_against_an_old_report(tmp_path):
    """Real rounds, all outputs, and exit code 1: the old report says nanoseconds."""
    for name in ("conv", "mixed"):
        (tmp_path / f"{name}.tflite").write_bytes(tiny_model(name))
    latency = made_up(tmp_path / "conv.tflite", 1e-6)
    old = report([latency], {}, {}, LiteRTEngine(), RoundPlan(), {"xnnpack": True})
    (tmp_path / "old.json").write_text(json.dumps(old))
    result = run_command(
        "benchmark",
        "--model=conv.tflite",
        "--model=mixed.tflite",
        "--engine=litert",
        "--rounds=3",
        "--round_seconds=0",
        "--warmup_seconds=0",
        "--accuracy=0.8",
        "--accuracy=0.7",
        "--profile",
        "--output_json=new.json",
        "--picture=new.png",
        "--compare=old.json",
        folder=tmp_path,
        timeout=900,
    )
    assert result.returncode == 1, result.stderr
    assert "against old.json: ai-edge-litert " in result.stdout
    assert result.stderr.splitlines()[-1] == "error: slower than in old.json: conv.tflite"
    assert "engine litert gives no time per operation" in result.stderr
    assert "Traceback" not in result.stderr
    for words in ("median ms", "2 of 3 ops in 2 parts", "slower", "not in the old report"):
        assert words in result.stdout
    new = json.loads((tmp_path / "new.json").read_text())
    conv, mixed = new["models"]
    assert (conv["file"], conv["top1"], mixed["top1"]) == ("conv.tflite", 0.8, 0.7)
    assert len(mixed["rounds_ms"]) == 3 and mixed["ratio"]["value"] > 0
    assert (tmp_path / "new.png").read_bytes().startswith(b"\x89PNG")


def test_bad_use_is_one_line_and_leaves_nothing(tmp_path):
    """A good and a truncated file, through a benchmark_model."""
    (tmp_path / "good.tflite").write_bytes(tiny_model("conv"))
    (tmp_path / "half.tflite").write_bytes(tiny_model("conv")[:500])
    program = write_fake(tmp_path)
    before = set(tmp_path.iterdir())
    result = run_here(
        "tflite.benchmark",
        "--model=good.tflite",
        "--model=half.tflite",
        f"--benchmark_binary={program}",
        "--output_json=new.json",
        "--picture=new.png",
        folder=tmp_path,
    )
    assert result.returncode == 2
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "LiteRT cannot open the model. Received: half.tflite" in errors[0]
    assert "Traceback" not in result.stderr
    assert set(tmp_path.iterdir()) - before <= {tmp_path / "calls.txt"}


def test_litert_s_own_program_is_named_in_the_report(tmp_path):
    """And its times are not held against those of TensorFlow Lite's."""
    (tmp_path / "conv.tflite").write_bytes(tiny_model("conv"))
    program = write_litert_fake(tmp_path, litert_program.outputs())
    arguments = ["--model=conv.tflite", f"--benchmark_binary={program}", "--rounds=3"]
    arguments.append("--threads=2")
    result = run_here("tflite.benchmark", *arguments, "--output_json=new.json", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "warning: the engine litert_benchmark_model gives no outputs" in result.stderr
    assert "program LiteRT's benchmark_model (CompiledModel), 2.2.0 or newer" in result.stdout
    new = json.loads((tmp_path / "new.json").read_text())
    assert new["settings"]["engine"] == "litert_benchmark_model"
    assert len(new["versions"]["benchmark_model"]) == len("sha256 ") + 64
    write_fake(tmp_path)
    result = run_here("tflite.benchmark", *arguments, "--compare=new.json", folder=tmp_path)
    assert result.returncode == 2
    assert "The old report is of another engine" in result.stderr.splitlines()[-1]
    write_litert_fake(tmp_path, litert_program.outputs())
    result = run_here("tflite.benchmark", *arguments, "--noxnnpack", folder=tmp_path)
    assert result.returncode == 2
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "LiteRT's benchmark_model (CompiledModel) has no delegate cpu" in error
