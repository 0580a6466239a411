"""The Kotlin of docs/PostProcessing.kt, compiled and run, gives what its Python twin gives."""

import pathlib
import shutil
import subprocess

import numpy as np
import pytest

from care_keras.detection import postprocessing
from care_keras.detection.anchors import LOCATION_SCALES, Anchors
from care_keras.segmentation.postprocessing import class_map, colored
from tests.needed import give_up

ROOT = pathlib.Path(__file__).parents[1]
SIZE = (96, 128)
ANCHORS = Anchors((3, 4, 5)).boxes(SIZE)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The compiled program."""
    if shutil.which("kotlinc") is None or shutil.which("java") is None:
        give_up("kotlinc and java are not installed: apt-get install kotlin default-jre-headless")
    jar = tmp_path_factory.mktemp("kotlin") / "program.jar"
    sources = [ROOT / "docs" / "PostProcessing.kt", ROOT / "tests" / "kotlin" / "Main.kt"]
    subprocess.run(
        ["kotlinc", *sources, "-include-runtime", "-d", jar],
        check=True,
        timeout=300,
        capture_output=True,
    )
    return jar


@pytest.mark.parametrize("seed", range(3))
def test_the_same_boxes_and_classes(seed, program, tmp_path):
    random = np.random.default_rng(seed)
    arrays = {
        "size": np.array([SIZE]),
        "classes": np.array([[3]]),
        "anchors": ANCHORS,
        "scales": np.array([LOCATION_SCALES]),
        "location": random.normal(0, 2, (len(ANCHORS), 4)).astype(np.float32),
        # Codes of uint8, so that some scores are equal.
        "score": (random.integers(0, 256, (len(ANCHORS), 3)) / 256).astype(np.float32) ** 2,
        "map_size": np.array([[7, 9, 4]]),
        "logits": random.normal(size=(7 * 9, 4)).astype(np.float32),
    }
    for name, values in arrays.items():
        np.savetxt(tmp_path / f"{name}.txt", values, "%.9g")
    run = subprocess.run(
        ["java", "-jar", program, tmp_path], check=True, timeout=60, capture_output=True, text=True
    )
    found, rest = run.stdout.split("map\n")
    classes, colors = rest.split("colors\n")
    found = np.array([line.split() for line in found.splitlines()], float)
    boxes, scores, labels = postprocessing.detections(
        arrays["location"], arrays["score"], ANCHORS, SIZE
    )
    np.testing.assert_allclose(found[:, :4], boxes, atol=1e-3)
    np.testing.assert_allclose(found[:, 4], scores, rtol=1e-6)
    np.testing.assert_array_equal(found[:, 5], labels)
    expected = class_map(arrays["logits"].reshape(7, 9, 4), SIZE)
    classes = np.array([line.split() for line in classes.splitlines()], int)
    # Float32 rounds ties of two classes either way.
    assert np.mean(classes == expected) > 0.9999
    picture = colored(classes.astype(np.uint8), np.uint8([[128, 0, 0], [0, 128, 0]]))
    packed = (picture.astype(int) << [16, 8, 0]).sum(-1) - (1 << 24)
    np.testing.assert_array_equal(np.array(colors.split(), int), packed.reshape(-1))
