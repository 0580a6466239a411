"""The command line of the ablations; what it runs is tested in `ablation_study/`."""

import re

from care_keras.console import startup_messages
from tests.tflite.commands import run_here, run_process


def test_a_variant_is_trained_and_the_table_alone_is_written_again(tmp_path):
    """The trainer itself, on real photos, by flags of its own from a file."""
    (tmp_path / "flags").write_text("--epochs=1\n--batch_size=9\n--learning_rate=0.01\n")
    images = tmp_path / "images"
    arguments = [
        str(images),
        f"--flagfile={tmp_path / 'flags'}",
        "--model=tiny",
        f"--data={images}",
        f"--run_dir={tmp_path / 'study'}",
        "--variants=no_memory",
        "--seeds=5",
    ]
    module = "tests.care_keras.ablation_study.ablate_tiny"
    process = run_process(module, *arguments, **{startup_messages._MARK: "1"})
    assert process.returncode == 0, process.stderr
    # Progress, and no messages of libraries.
    assert not re.search(r"^([WEI]\d{4} |WARNING|\d{4}-)", process.stderr, re.M)
    assert "runs in all: 1, finished before: 0" in process.stderr
    table = [line for line in process.stdout.splitlines() if line.startswith("no_memory")]
    assert len(table) == 1 and "no memory" in table[0]
    assert {path.name for path in (tmp_path / "study").iterdir()} == {
        *("no_memory-seed5", ".lock"),
        *("ablations.md", "ablations.json", "ablations.png"),
    }
    models = list((tmp_path / "study").glob("*/model.keras"))
    written = [path.stat().st_mtime_ns for path in models]
    (tmp_path / "study" / "ablations.md").unlink()
    again = run_here("care_keras.ablate", f"--run_dir={tmp_path / 'study'}", "--table_only")
    assert again.returncode == 0, again.stderr
    assert again.stdout in process.stdout
    assert (tmp_path / "study" / "ablations.md").exists()
    assert written == [path.stat().st_mtime_ns for path in models]


def test_bad_use_is_one_line_and_exit_code_2(tmp_path):
    process = run_here("care_keras.ablate", "--seeds=1,a", f"--run_dir={tmp_path}")
    assert process.returncode == 2
    assert process.stderr.startswith(
        "error: --seeds must be whole numbers, comma separated, not '1,a'"
    )
    assert len(process.stderr.splitlines()) == 1
