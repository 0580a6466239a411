"""The command as a user runs it."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from care_keras.console.optional import is_installed
from tests.tflite.commands import run_here, run_process


def write_small_model(path):
    images = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="first")(images)
    x = keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(x))
    keras.Model(images, x).save(path)


def test_int8_with_no_other_flag_in_any_backend(tmp_path):
    """The main job: the bundled model to int8, which stays right."""
    # Under another backend the command starts itself anew with TensorFlow's.
    words = ("care_keras.convert", "--int8", "--samples=32", "--check_samples=200")
    backend = "torch" if is_installed("torch") else "tensorflow"
    result = run_process(*words, folder=tmp_path, KERAS_BACKEND=backend)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {
        "care_nano_cifar10_int8.tflite",
        "care_nano_cifar10_int8.json",
    }
    lines = result.stdout.splitlines()
    header = next(line for line in lines if line.startswith("model "))
    assert "file size" in header and "top-1" in header and "agrees with keras" in header
    for name in ("keras", "float32", "int8"):
        assert any(line.startswith(f"{name} ") and "%" in line for line in lines)
    assert "peak memory" in result.stdout
    sidecar = json.loads((tmp_path / "care_nano_cifar10_int8.json").read_text())
    assert sidecar["integer_only"] is True and sidecar["labels"][0] == "airplane"
    check = sidecar["check"]
    float32, int8 = check["files"]
    assert (float32["name"], int8["name"], check["images"]) == ("float32", "int8", 200)
    assert check["keras_top1"] > 0.8
    assert float32["agreement"] > 0.998 and float32["snr_db"] > 80
    # Seen: 88 % and 3.5 points.
    assert int8["agreement"] > 0.8 and int8["top1"] > check["keras_top1"] - 0.08
    assert int8["size_bytes"] < 0.5 * float32["size_bytes"]


def write_model_of_a_balance(path):
    """Scores of `1 + x` and `1 - x`, which grey sets the ranges of: cut off, they take no turns."""
    images = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(2, 1, activation="relu")(images)
    x = keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(images, x)
    sums = 10.0 * np.array([1.0, -1.0, 1.0, -1.0])
    uneven = 0.2 * np.random.default_rng(0).standard_normal((2, 4))
    pairs = np.broadcast_to(np.array([1.0, -1.0]) / 3.0, (1, 1, 3, 2))
    model.set_weights([pairs, np.ones(2), sums + uneven, [1.0, -1.0, 0.8, -0.8] - 2.0 * sums])
    model.save(path)


def test_a_ruined_file_is_exit_code_1_and_its_figures_are_shown(tmp_path):
    """Calibrated on grey images that are all alike."""
    grey = tmp_path / "grey"
    grey.mkdir()
    for number in range(12):
        Image.new("RGB", (40, 40), (128,) * 3).save(grey / f"{number}.png")
    model = tmp_path / "model.keras"
    write_model_of_a_balance(model)
    result = run_here(
        "care_keras.convert",
        "--int8",
        "--model=model.keras",
        "--mean=0.5,0.5,0.5",
        "--std=0.5,0.5,0.5",
        "--calibration=grey",
        "--evaluation=bundled",
        "--check_samples=40",
        "--output=m.tflite",
        folder=tmp_path,
    )
    assert result.returncode == 1
    assert {*tmp_path.iterdir()} == {grey, model}
    assert any(line.startswith("int8 ") and "dB" in line for line in result.stdout.splitlines())
    warned = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert any("the 12 calibration images of grey are all alike" in line for line in warned)
    assert any("picks the Keras model's class on" in line for line in warned)
    assert any("more noise than signal" in line for line in warned)
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: the int8 file") and "outputs are more noise than signal" in last


@pytest.mark.parametrize(
    "flag, kind",
    [
        ("--output_type=int8", "integer-only; runs on"),
        ("--output_type=float", "integer-only but for its outputs, which are float; runs on"),
        ("--float_layers=first", "not integer-only: 4 integer-tensors (first: "),
    ],
)
def test_what_is_not_in_integers_is_named(tmp_path, flag, kind):
    write_small_model(tmp_path / "m.keras")
    words = ("--int8", "--model=m.keras", "--samples=8", "--check_samples=8", flag)
    result = run_here("care_keras.convert", *words, "--allow_float_fallback", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert any(line.startswith(kind) for line in result.stdout.splitlines()), result.stdout


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--model=missing.keras"], "No such model file"),
        (["--output=missing/a.tflite"], "there is no folder missing"),
        (["--output=a.bin"], "must end in .tflite"),
        (["--size=12by12"], "--size must be N or HxW"),
        (["--int8", "--precision=float16"], "contradict"),
        (["--precision=int3"], "--precision"),
        (["--output_type=uint8"], "--output_type is of care_keras' own files in int8"),
        (["--per_tensor_weights"], "are for a float model on its way to care_keras' own int8"),
        (["--target=xnnpack", "--converter=tensorflow"], "--target is of care_keras' own files in"),
        (["--core=i8mm"], "--core is of care_keras' own files in int8: take --int8"),
        (["--int8", "--reduced_precision"], "--reduced_precision is for float files: take"),
        (["--calibration=missing.npz"], "The file cannot be read"),
        (["--mean=0.5,0.5"], "--mean must be three numbers R,G,B, or one of grey images"),
        (["--report=folder"], "A report compares the layers of care_keras' own int8"),
        (["model.keras"], "unexpected argument 'model.keras'"),
    ],
)
def test_bad_use_is_one_line_and_exit_code_2(tmp_path, arguments, message):
    result = run_here("care_keras.convert", *arguments, folder=tmp_path)
    assert result.returncode == 2
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0]
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())
