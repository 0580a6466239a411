"""Files in other environments' runtimes: this one's again, and what is none."""

import json
import os
import stat
import sys

import pytest

from care_keras.emit.network import emit_tflite
from care_keras.files import user_cache
from tests.needed import give_up, need_package
from tests.tflite import cast_codes
from tests.tflite.commands import run_here
from tflite.arm64.cache import Cache
from tflite.arm64.emulator import find_emulator


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The bundled int8 model, for any runtime, for XNNPACK, and as it once was."""
    folder = tmp_path_factory.mktemp("runtimes")
    cast_codes.write_good_and_cast(folder)
    content = emit_tflite(cast_codes.model(), (32, 32), input_kind="rgb_uint8", target="xnnpack")
    (folder / "xnnpack.tflite").write_bytes(content)
    cast_codes.write_record(folder / "xnnpack.json")
    return folder


def test_the_same_runtime_is_equal(folder):
    flags = ["--model=good.tflite", "--model=xnnpack.tflite", "--output_json=r.json"]
    done = run_here(
        "tflite.runtimes", *flags, f"--python={sys.executable}", "--inputs=16", folder=folder
    )
    assert done.returncode == 0, done.stderr
    records = json.loads((folder / "r.json").read_text())
    assert [one["model"] for one in records] == 2 * ["good.tflite"] + 2 * ["xnnpack.tflite"]
    assert all(one["verdict"] == "equal" and one["values"] == 160 for one in records)
    assert all(one["photos_agreement"] == 1.0 and one["median_ms"] > 0 for one in records)
    # For XNNPACK in one piece; its own kernels of GELU and RSQRT are in float alone.
    assert records[2]["delegated"] == records[2]["operators"]
    assert records[0]["delegated"] < records[0]["operators"]
    assert done.stdout.count("ai-edge-litert") == 4


def test_a_python_without_a_runtime(folder):
    """It ends before it has said what it is."""
    python = folder / "python"
    python.write_text("#!/bin/sh\necho no such runtime >&2\nexit 3\n")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    done = run_here("tflite.runtimes", "--model=good.tflite", f"--python={python}", folder=folder)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: The runtime cannot be started") and "no such runtime" in last


def test_a_python_that_is_not_there(folder):
    missing = os.fspath(folder / "nothing")
    done = run_here("tflite.runtimes", "--model=good.tflite", f"--python={missing}", folder=folder)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"error: --python: there is no program {missing}"


def test_nothing_to_compare_with(folder):
    done = run_here("tflite.runtimes", "--model=good.tflite", folder=folder)
    assert done.returncode == 2
    assert "give --python=PYTHON, or --on=arm64" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("kind", "package", "name"),
    [
        ("npu", "onnxruntime_qnn", "Qualcomm SM8650, emulated"),
        ("openvino", "openvino", "OpenVINO, CPU"),
    ],
)
def test_runtimes_that_are_no_litert(folder, kind, package, name):
    """They round otherwise, and read cast codes as the numbers that they stand for."""
    need_package(package, kind)
    flags = ["--model=good.tflite", "--model=cast.tflite", "--inputs=40", "--output_json=r.json"]
    done = run_here("tflite.runtimes", *flags, f"--on={kind}", folder=folder)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: cast.tflite in {name}: wrong"
    here, good, _, cast = json.loads((folder / "r.json").read_text())
    assert (here["verdict"], good["side"], cast["verdict"]) == ("equal", name, "wrong")
    assert good["verdict"].startswith("within ") and good["photos_snr_db"] > 14
    assert cast["photos_snr_db"] < 8
    # An emulator's time is nobody's.
    assert here["median_ms"] > 0 and good["median_ms"] is None


def test_emulated_cores(folder, tmp_path):
    try:
        find_emulator(Cache(user_cache("arm64")), "2.3.0")
    except ValueError as error:
        give_up(str(error))
    flags = ["--model=good.tflite", "--inputs=4", f"--output_json={tmp_path / 'r.json'}"]
    done = run_here(
        "tflite.runtimes", *flags, "--on=arm64", "--core=max", "--threads=1,2", folder=folder
    )
    assert done.returncode == 0, done.stderr
    records = json.loads((tmp_path / "r.json").read_text())
    assert [one["side"] for one in records] == [None, "max, 1 thread", "max, 2 threads"]
    assert {one["verdict"] for one in records} == {"equal"}
