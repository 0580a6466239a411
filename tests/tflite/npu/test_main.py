"""`.tflite` files in the emulator of Qualcomm's NPU: what `python -m tflite.npu` finds."""

import json
import pathlib

import pytest

from care_keras.tflite_file import read_graph
from tests.needed import need_package
from tests.tflite.cast_codes import write_good_and_cast
from tests.tflite.commands import run_here, run_process
from tests.tflite.npu.files import npu_file, windows_file
from tests.tflite.several_ends import several_ends

_NORMALIZED = ("--mean=0.5,0.5,0.5", "--std=0.5,0.5,0.5", "--samples=8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The bundled int8 model, the same as it once was, and small ones."""
    need_package("onnxruntime_qnn", "npu")
    folder = tmp_path_factory.mktemp("npu")
    write_good_and_cast(folder)
    for kind in ("mixed", "lacking", "open"):
        (folder / f"{kind}.tflite").write_bytes(npu_file(kind))
    for kind in ("both", "batch"):
        (folder / f"{kind}.tflite").write_bytes(several_ends(kind))
    (folder / "bad.tflite").write_bytes(b"no model")
    return folder


def run(folder, name, *flags):
    """A run of one file in this process, and its record."""
    done = run_here(
        "tflite.npu", f"--model={name}.tflite", "--output_json=r.json", *flags, folder=folder
    )
    return done, json.loads((folder / "r.json").read_text())[0]


def test_the_bundled_file_is_the_same_network(folder):
    flags = ["--samples=60", "--output_json=good_r.json", "--output_dir=kept", "--soc=SM8550"]
    done = run_process("tflite.npu", "--model=good.tflite", *flags, folder=folder)
    assert done.returncode == 0, done.stderr
    (record,) = json.loads((folder / "good_r.json").read_text())
    assert record["operators_on_npu"] == record["operators"] > 300
    assert (record["partitions"], record["soc"], record["verdict"]) == (1, "SM8550", "right")
    assert record["agreement"] >= 0.95 and record["images"] == 60
    assert all(value > 17 for value in record["snr_db"].values())
    # Compiled as a whole it may be another network than its operators are.
    inside = [one["in_file_db"] for one in record["operator_results"]]
    assert min(value for value in inside if value is not None) > 11
    assert not any(one["parts"] for one in record["operator_results"])
    # The worst stand first, and all are told of.
    alone = [one["alone_db"] for one in record["operator_results"]]
    assert [a for a in alone if a is not None] == sorted(a for a in alone if a is not None)
    assert "do no more than round otherwise" in done.stdout
    kept = read_graph(folder / "kept" / "good_SM8550.tflite")
    assert [one.custom_code for one in kept.operators] == ["DISPATCH_OP"]


def test_attention_in_windows_is_one_piece(folder):
    """Written on six axes it was many, and noise where one began with five."""
    (folder / "windows.tflite").write_bytes(windows_file())
    done, record = run(folder, "windows", "--samples=16")
    assert done.returncode == 0, done.stderr
    assert record["operators_on_npu"] == record["operators"] and record["partitions"] == 1
    assert all(value > 20 for value in record["snr_db"].values())


def test_a_file_of_cast_codes_is_told(folder):
    """The NPU takes it whole; only the numbers tell."""
    done, record = run(folder, "cast", "--samples=16")
    assert done.returncode == 1
    assert record["operators_on_npu"] == record["operators"]
    assert record["verdict"] == "wrong" and max(record["snr_db"].values()) < 8
    parting = [one["operator"] for one in record["operator_results"] if one["parts"]]
    assert parting == ["CAST"] * 7
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: the NPU does not give what the CPU gives: cast.tflite on SM8650")
    assert "7 of 385 compute something else" in last and " CAST (" in last


def test_operators_that_the_npu_lacks_run_on_the_cpu(folder):
    done, record = run(folder, "mixed", *_NORMALIZED)
    assert done.returncode == 0, done.stderr
    assert (record["operators_on_npu"], record["operators"], record["partitions"]) == (7, 9, 3)
    assert record["operators_on_cpu"] == {"ATAN2": 1, "MATRIX_DIAG": 1}
    assert "on the CPU stay 1 ATAN2, 1 MATRIX_DIAG" in done.stdout
    assert record["verdict"] == "right"
    # Half precision does not leave floats as they are, and does little to them.
    assert all(40 < value < 120 for value in record["snr_db"].values())


@pytest.mark.parametrize("name", ["both", "batch"])
def test_several_inputs_and_outputs(folder, name):
    done, record = run(folder, name, *_NORMALIZED, "--nooperators")
    assert done.returncode == 0, done.stderr
    assert len(record["snr_db"]) == 2 and min(record["snr_db"].values()) > 40
    assert record["agreement"] is None and record["operator_results"] is None


def test_a_file_that_the_npu_cannot_run_fails(folder):
    done, record = run(folder, "lacking", *_NORMALIZED)
    assert done.returncode == 1 and record["verdict"] == "failed"
    assert "the NPU takes none of its 1 operators: Atan2" in record["failure"]
    assert record["operators"] is None and not record["snr_db"]


def test_a_compiler_that_hangs_is_ended(folder):
    done, record = run(folder, "good", "--samples=2", "--timeout=0.1", "--nooperators")
    assert done.returncode == 1 and record["verdict"] == "failed"
    assert "was stopped after 0.1 s" in record["failure"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model=good.tflite", "--soc=SM1"], "LiteRT compiles for SA8255, SA8295, "),
        (["--model=bad.tflite"], "The file is no TFLite model"),
        (["--model=open.tflite", "--size=8", *_NORMALIZED], "An NPU takes files of fixed sizes"),
        (["--model=good.tflite", "--output_dir=bad.tflite"], "--output_dir: bad.tflite is no "),
        (["--model=good.tflite", "--data=none"], ""),
    ],
)
def test_mistakes_are_one_line(folder, flags, message):
    before = sorted(pathlib.Path(folder).iterdir())
    done = run_here("tflite.npu", *flags, folder=folder)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"error: {message}")
    assert sorted(pathlib.Path(folder).iterdir()) == before
