"""The commands as a user types them, on a fake phone."""

import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

from android_bench.phone.lock import lock
from android_bench.records import of_kind, read_records
from android_bench.run.prepare import LOCK
from care_keras.console import startup_messages
from tests.android_bench.made_records import write_run
from tests.android_bench.stand_in_benchmark_model import elf_bytes

ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture
def command(adb_environment):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "android_bench", *map(str, arguments)],
            env=adb_environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def test_killed_gone_on_with_and_reported(
    command, adb_environment, fake, tiny_file, stand_in_binary, tmp_path
):
    records, page = tmp_path / "run.jsonl", tmp_path / "run.html"
    arguments = [
        "run",
        f"--model={tiny_file}",
        f"--benchmark_binary={stand_in_binary}",
        f"--output={records}",
        "--rounds=3",
        "--runs=3",
        "--seconds=0",
        "--warmup_seconds=0",
        "--cooldown=0",
        "--percentile_runs=4",
    ]
    first = subprocess.Popen(
        [sys.executable, "-m", "android_bench", *arguments],
        env=adb_environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (records.exists() and b'"cell"' in records.read_bytes()):
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.02)
    first.kill()
    first.wait()
    measured = len(of_kind(read_records(records), "cell"))
    assert 1 <= measured < 4
    # The killed run's lock is gone with it, and what it measured is not done again.
    finished = command(*arguments, "--resume")
    assert finished.returncode == 0, finished.stderr
    assert (
        f"/{4 - measured} round 3 of 3, it's ä; $(reboot) model.tflite, xnnpack" in finished.stderr
    )
    cells = of_kind(read_records(records), "cell")
    assert [(one["round"], one["status"]) for one in cells] == [(n, "ok") for n in range(4)]
    # Two processes of three runs in each round but the probe.
    assert [one["singles"] and len(one["singles"]["times_us"]) for one in cells] == [None, 6, 6, 6]
    pytest.importorskip("matplotlib")
    finished = command("report", records, f"--html={page}", f"--csv={tmp_path / 'run.csv'}")
    assert finished.returncode == 0, finished.stderr
    assert "it's ä; $(reboot) model.tflite" in finished.stdout and page.stat().st_size > 10_000


def test_a_regression_is_an_exit_code(command, tmp_path):
    old = write_run(tmp_path / "old", {("a", "xnnpack"): [1.0, 1.01, 0.99, 1.0, 1.0]})
    new = write_run(tmp_path / "new", {("a", "xnnpack"): [1.5, 1.52, 1.49, 1.5, 1.5]})
    output = tmp_path / "comparison.json"
    finished = command("compare", old, new, f"--output_json={output}")
    assert finished.returncode == 1
    assert finished.stderr.splitlines()[-1] == "error: a, xnnpack, 1 thread, big is slower, 1.50x"
    assert json.loads(output.read_text())["cells"][0]["verdict"] == "slower"


def test_a_word_that_is_no_command(command):
    finished = command("frob")
    assert finished.returncode == 2
    assert finished.stderr.splitlines()[-1] == (
        "error: there is no command 'frob': it is one of doctor, devices, run, report, compare"
    )
    assert "doctor    what is missing" in command("--help").stdout


WORDS = """
from care_keras.console import cli
cli.run(lambda *words: print(words), ["the old file", "the new file"])
"""


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["a", "b c"], "('a', 'b c')"),
        (["a"], "error: the new file is missing (see --help)"),
        (["a", "b", "c"], "error: unexpected argument 'c': every option is a flag (see --help)"),
    ],
)
def test_words_that_are_no_flags(words, output):
    finished = subprocess.run(
        [sys.executable, "-c", WORDS, *words],
        env=os.environ | {"PYTHONPATH": os.fspath(ROOT), startup_messages._MARK: "1"},
        capture_output=True,
        text=True,
    )
    assert (finished.stdout + finished.stderr).strip() == output
    assert finished.returncode == (2 if "error" in output else 0)


def test_bad_use_of_either_program_is_one_line_and_leaves_nothing(
    command, fake, tiny_file, stand_in_binary, litert_binary, tmp_path
):
    records = tmp_path / "run.jsonl"
    shared = [f"--model={tiny_file}", f"--output={records}", "--rounds=1", "--percentile_runs=0"]
    for binary, flags, words in (
        (litert_binary, ["--delegate=nnapi"], "LiteRT's benchmark_model (CompiledModel) has no "),
        (litert_binary, ["--delegate=npu"], "needs --npu_library with the vendor's dispatch"),
        (stand_in_binary, ["--delegate=gpu"], "was built without gpu (its --help lacks --use_gpu)"),
        (stand_in_binary, ["--npu_library=nowhere"], "no such file or folder"),
        (
            stand_in_binary,
            ["--images=tfds:mnist", "--top1_images=8"],
            "--data, --top1_images: of no",
        ),
    ):
        finished = command("run", *shared, f"--benchmark_binary={binary}", *flags)
        assert finished.returncode == 2, finished.stderr
        (error,) = [line for line in finished.stderr.splitlines() if line.startswith("error: ")]
        assert words in error and "Traceback" not in finished.stderr
        assert not records.exists() and not fake.runs
    assert list(fake.path("/data/local/tmp").glob("care_keras*")) == []


def test_nnapi_is_said_to_be_deprecated(command, fake, tiny_file, stand_in_binary, tmp_path):
    fake.faults.help_output = lambda text: text + "\t--use_nnapi=false\tbool\n"
    finished = command(
        "run",
        f"--model={tiny_file}",
        f"--output={tmp_path / 'run.jsonl'}",
        f"--benchmark_binary={stand_in_binary}",
        "--delegate=nnapi",
        "--nnapi_accelerator=dsp",
        "--rounds=1",
        "--cooldown=0",
    )
    # The stand-in has none, and the CPU's times are not called NNAPI's.
    assert finished.returncode == 1
    notes = [line for line in finished.stderr.splitlines() if line.startswith("note: ")]
    assert len(notes) == 1 and "Android 15 deprecated NNAPI" in notes[0]
    assert "TensorFlow Lite's benchmark_model" in finished.stderr
    assert "nnapi ran nothing: the CPU did" in finished.stderr
    assert {"--use_nnapi=true", "--nnapi_accelerator_name=dsp"} <= set(fake.runs[0])


def test_an_npu_from_the_command_to_the_page(command, fake, tiny_file, litert_binary, tmp_path):
    pytest.importorskip("matplotlib")
    records, folder = tmp_path / "run.jsonl", tmp_path / "vendor"
    folder.mkdir()
    for name in ("libLiteRtDispatch_Vendor.so", "libLiteRtCompilerPlugin_Vendor.so"):
        (folder / name).write_bytes(elf_bytes("arm64-v8a"))
    finished = command(
        "run",
        f"--model={tiny_file}",
        f"--output={records}",
        f"--benchmark_binary={litert_binary}",
        "--delegate=npu",
        f"--npu_library={folder}",
        "--rounds=1",
        "--runs=3",
        "--seconds=0",
        "--percentile_runs=0",
        "--cooldown=0",
    )
    assert finished.returncode == 0, finished.stderr
    said = "LiteRT's benchmark_model (CompiledModel), 2.2.0 or newer"
    assert said in finished.stderr and "npu runs all" in finished.stderr
    # Asked once, before the two runs; and nothing is left.
    asked = [words for words in fake.commands if words[-1] == "--help"]
    assert len(asked) == 1 and len(fake.runs) == 2
    assert [one.name for one in fake.path("/data/local/tmp").iterdir()] in (
        [],
        [".care_keras_bench.lock"],
    )
    finished = command("report", records, f"--html={tmp_path / 'run.html'}")
    assert said in finished.stdout
    assert "2.2.0 or newer, SHA-256 " in (tmp_path / "run.html").read_text()


def test_a_program_is_not_asked_while_another_run_measures(
    command, fake, phone, tiny_file, litert_binary, tmp_path
):
    records = tmp_path / "run.jsonl"
    with lock(phone, LOCK, "another"):
        finished = command(
            "run",
            f"--model={tiny_file}",
            f"--output={records}",
            f"--benchmark_binary={litert_binary}",
        )
    assert finished.returncode == 1
    assert "is in use by another run" in finished.stderr.splitlines()[-1]
    assert fake.pushed == [] and not records.exists()


def test_flags_have_the_names_of_other_commands_and_their_old_ones(command):
    text = command("run", "--help").stdout
    for name, old in (
        ("data", "images"),
        ("samples", "verify_images"),
        ("max_codes", "verify_codes"),
    ):
        assert f"--{name}: " in text and f"--{old}: Alias for --{name}." in text
