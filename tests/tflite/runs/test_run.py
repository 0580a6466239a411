"""Running images in a worker: one that works, fails, dies, hangs, cannot start."""

import sys
import time

import numpy as np
import pytest

from care_keras.data.overrides import InputOverrides
from care_keras.litert.model import LiteRTModel
from tests.tflite.tiny_models import tiny_model
from tflite.inputs.real_and_extreme import make_inputs
from tflite.runs.python import host_command
from tflite.runs.run import run_images

PLAIN = InputOverrides(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

# Speaks as the worker does, and answers image by image as `script` says.
_STAND_IN = """
import json, os, sys, time
import numpy as np
request = json.load(sys.stdin)
def say(**answer):
    print("what a runtime prints")
    print(json.dumps(answer), flush=True)
say(runtime={"package": "ai-edge-litert", "version": "9"})
script = {script!r}
if script[0] == "cannot open":
    say(error="no such operation")
    sys.exit()
say(names=["scores"], ops=3, delegated_ops=2)
for image in range(request["start"], len(np.load(request["inputs"]))):
    what = script[image]
    if what == "abort":
        print("last words", file=sys.stderr, flush=True)
        os.abort()
    if what == "hang":
        time.sleep(600)
    if what == "fail":
        say(failed="data[i] != 0 was not true")
        continue
    with open(request["outputs"], "ab") as file:
        np.save(file, np.int8([[image, what]]))
    say(seconds=0.5)
"""


@pytest.fixture
def stand_in(tmp_path):
    """Runs images with a worker that does as it is told for each."""

    def run(*script, limit=60.0):
        path = tmp_path / "worker.py"
        path.write_text(_STAND_IN.replace("{script!r}", repr(list(script))))
        inputs, seen = np.zeros((len(script), 2, 2, 3), np.int8), []
        command = [sys.executable, "-E", path]
        result = run_images(
            [str(part) for part in command], "m", inputs, (1,), limit, lambda: seen.append(1)
        )
        return result, len(seen)

    return run


def test_a_real_file(tmp_path):
    path = tmp_path / "conv.tflite"
    path.write_bytes(tiny_model("conv"))
    inputs = make_inputs(path, "bundled", 8, 0, PLAIN)
    assert inputs.families == ("constant", "single pixel", "noise", "photo") * 2
    result = run_images(host_command(), path, inputs.values, inputs.shape, 60)
    model = LiteRTModel(path)
    assert list(result.outputs) == list(range(8)) and not result.failures
    for image, outputs in result.outputs.items():
        np.testing.assert_array_equal(outputs[0], model.run(inputs.values[image][None]))
    assert result.runtime["package"] == "ai-edge-litert" and len(result.seconds) == 8
    assert (result.ops, result.delegated_ops, len(result.names)) == (2, 2, 1)


def test_sizes_and_batch_that_the_file_leaves_open(tmp_path):
    path = tmp_path / "open.tflite"
    path.write_bytes(tiny_model("open"))
    overrides = InputOverrides((20, 12), PLAIN.mean, PLAIN.std)
    inputs = make_inputs(path, "bundled", 4, 0, overrides)
    assert inputs.shape == (1, 20, 12, 3)
    result = run_images(host_command(), path, inputs.values, inputs.shape, 60)
    assert [outputs[0].shape for outputs in result.outputs.values()] == [(1, 20, 12, 3)] * 4


def test_a_file_that_the_runtime_cannot_open(tmp_path):
    path = tmp_path / "custom.tflite"
    path.write_bytes(tiny_model("custom"))
    result = run_images(host_command(), path, np.zeros((2, 4), np.float32), (4, 4), 60)
    assert "custom op" in result.error and not result.outputs and not result.failures


def test_kernels_that_fail_or_abort_fail_on_their_image_alone(stand_in):
    result, seen = stand_in(7, "fail", "abort", 9)
    assert seen == 4
    assert {image: outputs[0].tolist() for image, outputs in result.outputs.items()} == {
        0: [[0, 7]],
        3: [[3, 9]],
    }
    assert result.failures == {
        1: "data[i] != 0 was not true",
        2: "the process was ended by SIGABRT (last words)",
    }
    assert result.runtime["version"] == "9" and result.seconds == [0.5, 0.5]


def test_an_inference_that_hangs_is_ended(stand_in):
    started = time.monotonic()
    result, seen = stand_in(7, "hang", 8, limit=4.0)
    assert time.monotonic() - started < 200
    assert result.failures == {1: "the process was stopped after 4 s (no output)"} and list(
        result.outputs
    ) == [0, 2]
    assert seen == 3


def test_it_is_not_started_for_ever(stand_in):
    result, seen = stand_in(*["abort"] * 6)
    died = "the process was ended by SIGABRT (last words)"
    assert seen == 6 and [result.failures[image] for image in range(3)] == [died] * 3
    assert [result.failures[image] for image in range(3, 6)] == [
        f"not run after 3 such ends: {died}"
    ] * 3


def test_what_cannot_be_opened_is_one_error(stand_in):
    result, seen = stand_in("cannot open", 1)
    assert (result.error, seen, result.failures) == ("no such operation", 0, {})


def test_a_worker_that_cannot_be_started(tmp_path):
    inputs = np.zeros((1, 2, 2, 3), np.int8)
    with pytest.raises(ValueError, match="cannot be started. Received: .*missing .No such file"):
        run_images([str(tmp_path / "missing")], "m", inputs, (1,), 5)
    broken = [sys.executable, "-c", "raise SystemExit('no runtime here')"]
    with pytest.raises(ValueError, match="runtime cannot be started. Received: .*no runtime here"):
        run_images(broken, "m", inputs, (1,), 5)
