import json

import numpy as np
import pytest
from PIL import Image

from care_keras.data.sources import open_source
from tests.tflite.commands import run_command, run_here
from tests.tflite.several_ends import write_several_ends
from tests.tflite.tiny_classifiers import CLASSES, PREPROCESSING, tiny_classifier
from tests.tflite.tiny_models import tiny_model


@pytest.fixture
def folder(tmp_path):
    """Two files without descriptions, and photos in six class folders."""
    source = open_source("bundled:test")
    for i in range(60):
        path = tmp_path / "photos" / f"class{i % CLASSES}" / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(source[i]).save(path)
    for kind in ("float32", "uint8"):
        (tmp_path / f"{kind}.tflite").write_bytes(tiny_classifier(kind))
    return tmp_path


def test_two_files_with_flags_for_what_nothing_describes(folder):
    done = run_command(
        "evaluate",
        "--model=float32.tflite",
        "--model=uint8.tflite",
        "--data=photos",
        f"--mean={','.join(map(str, PREPROCESSING.mean))}",
        "--std=1/4,1/2,1",
        "--crop_ratio=1",
        "--interpolation=bilinear",
        "--samples=50",
        "--workers=3",
        "--output_json=figures.json",
        folder=folder,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "warning: float32.tflite does not name its classes" in done.stderr
    content = json.loads((folder / "figures.json").read_text())
    first, second = content["models"]
    assert first["input"]["std"] == [0.25, 0.5, 1.0] and first["input"]["crop_ratio"] == 1.0
    assert first["input"]["interpolation"] == second["input"]["interpolation"] == "bilinear"
    assert (first["input"]["kind"], second["input"]["kind"]) == ("float", "rgb_uint8")
    assert content["comparisons"][0]["agreement"] == 1.0
    assert content["images"] == np.sum(first["confusion"]) == 50
    lines = done.stdout.splitlines()
    assert f"{first['top1']:.2%}" in next(line for line in lines if line.startswith("float32"))
    assert "evaluating, image 50/50" in done.stderr and lines[-1] == "wrote figures.json"


def test_a_bad_image_leaves_nothing_half_written(folder):
    (folder / "photos" / "class3" / "09.png").write_bytes(b"no image")
    (folder / "figures.json").write_text("of before")
    flags = ("--model=uint8.tflite", "--data=photos", "--output_json=figures.json")
    done = run_here("tflite.evaluate", *flags, folder=folder)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: An image cannot be read; --skip_")
    assert "photos/class3/09.png" in done.stderr.splitlines()[-1]
    assert (folder / "figures.json").read_text() == "of before"
    assert len(list(folder.iterdir())) == 4


def test_a_model_of_more_classes_that_does_not_name_them(folder):
    """1000 classes, of which the photos have six, in another order."""
    (folder / "thousand.tflite").write_bytes(tiny_classifier("thousand"))
    names = [f"class{CLASSES - 1 - i}" if i < CLASSES else f"other{i}" for i in range(1000)]
    (folder / "labels.txt").write_text("\n".join(names))
    mean = ",".join(map(str, PREPROCESSING.mean))
    flags = ("--model=thousand.tflite", "--data=photos", f"--mean={mean}", "--std=1/4,1/2,1")
    # Each error says the flag that mends it.
    given, told = [], ["--labels=FILE", "--label_match=subset"]
    for flag, message in zip(["--labels=labels.txt", told[1]], told, strict=True):
        done = run_here("tflite.evaluate", *flags, *given, folder=folder)
        assert done.returncode == 2 and message in done.stderr.splitlines()[-1], done.stderr
        given.append(flag)
    done = run_here("tflite.evaluate", *flags, *given, "--output_json=run.json", folder=folder)
    assert done.returncode == 0, done.stderr
    content = json.loads((folder / "run.json").read_text())
    assert content["settings"]["labels"] == "labels.txt" and content["images"] == 60
    assert "does not name its classes" not in done.stderr


def test_labels_that_no_model_needs(folder):
    (folder / "labels.txt").write_text("\n".join(f"class{i}" for i in range(10)))
    flags = ("--model=care_nano_cifar10", "--samples=10", "--labels=labels.txt")
    done = run_here("tflite.evaluate", *flags, folder=folder)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: Labels are of no use: all models name")


def test_several_outputs(folder):
    write_several_ends(folder / "both.tflite", "both")
    flags = ("--model=both.tflite", "--data=photos", "--output_json=figures.json")
    done = run_here("tflite.evaluate", *flags, folder=folder)
    assert done.returncode == 2 and "evaluating" not in done.stdout
    assert done.stderr.splitlines()[-1] == (
        "error: The model has several outputs: choose one with --output=NAME. "
        "Received: outputs scores, box of both.tflite"
    )
    done = run_here("tflite.evaluate", *flags, "--output=scores", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "warning: both.tflite is fed noise for extra, which photos say nothing of" in done.stderr
    content = json.loads((folder / "figures.json").read_text())
    (model,) = content["models"]
    assert (model["output"], model["inputs_of_noise"]) == ("scores", ["extra"])
    assert content["settings"]["output"] == "scores"


def test_inputs_that_are_no_photos(folder):
    (folder / "table.tflite").write_bytes(tiny_model("two"))
    done = run_here("tflite.evaluate", "--model=table.tflite", "--data=photos", folder=folder)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "error: One of the model's inputs must take images (batch, height, width, 3), or 1 for "
        "grey ones: it needs another kind of data. Received: inputs table float32 8x3, indices "
        "int32 4 in table.tflite"
    )
