"""Files in other environments' runtimes: this one's again, and what is none."""

import json
import os
import stat
import sys

import pytest

from care_keras.emit.network import emit_tflite
from care_keras.models import load_preset
from tests.tflite.commands import run_here


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The bundled int8 model, for any runtime and for XNNPACK."""
    folder = tmp_path_factory.mktemp("runtimes")
    model = load_preset("care_nano_cifar10_qat")
    record = {"preprocessing": model.preprocessing.to_dict(), "input": {"kind": "rgb_uint8"}}
    for target in ("portable", "xnnpack"):
        content = emit_tflite(model, (32, 32), input_kind="rgb_uint8", target=target)
        (folder / f"{target}.tflite").write_bytes(content)
        (folder / f"{target}.json").write_text(json.dumps(record))
    return folder


def test_the_same_runtime_is_equal(folder):
    flags = ["--model=portable.tflite", "--model=xnnpack.tflite", "--output_json=r.json"]
    done = run_here(
        "tflite.runtimes", *flags, f"--python={sys.executable}", "--inputs=16", folder=folder
    )
    assert done.returncode == 0, done.stderr
    records = json.loads((folder / "r.json").read_text())
    assert [one["model"] for one in records] == 2 * ["portable.tflite"] + 2 * ["xnnpack.tflite"]
    assert all(one["verdict"] == "equal" and one["values"] == 160 for one in records)
    assert all(one["photos_of_one_class"] == 1.0 and one["median_ms"] > 0 for one in records)
    # For XNNPACK in one piece; its own kernels of GELU and RSQRT are in float alone.
    assert records[2]["delegated"] == records[2]["operators"]
    assert records[0]["delegated"] < records[0]["operators"]
    assert done.stdout.count("ai-edge-litert") == 4


def test_a_python_without_a_runtime(folder):
    """It ends before it has said what it is."""
    python = folder / "python"
    python.write_text("#!/bin/sh\necho no such runtime >&2\nexit 3\n")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    done = run_here(
        "tflite.runtimes", "--model=portable.tflite", f"--python={python}", folder=folder
    )
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: The runtime cannot be started") and "no such runtime" in last


def test_a_python_that_is_not_there(folder):
    missing = os.fspath(folder / "nothing")
    done = run_here(
        "tflite.runtimes", "--model=portable.tflite", f"--python={missing}", folder=folder
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"error: --python: there is no program {missing}"
