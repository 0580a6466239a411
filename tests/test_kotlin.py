"""The Kotlin in docs/, compiled and run, gives what its Python twins give."""

import pathlib
import shutil
import subprocess

import numpy as np
import pytest

from care_keras.data.preprocessing import normalize, resize_and_crop
from care_keras.data.record import Preprocessing
from care_keras.data.sources import open_source
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
    sources = [*(ROOT / "docs").glob("*.kt"), *(ROOT / "tests" / "kotlin").glob("*.kt")]
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
        ["java", "-cp", program, "OutputsKt", tmp_path],
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
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


@pytest.fixture(scope="module")
def pictures():
    """Photos of several sizes, and a column as few models would be shown."""
    photos = [open_source("bundled:bccd", "test")[0], open_source("bundled", "test")[0]]
    return [*photos, photos[0][:301, ::2], photos[0][:, :7]]


def test_the_same_pixels(program, pictures, tmp_path):
    random = np.random.default_rng(0)
    lines, expected = [], []
    for number, upright in enumerate(pictures):
        for place, interpolation in enumerate(("bilinear", "bicubic", "nearest")):
            for fit in ("crop", "stretch"):
                height, width = random.integers(1, 260, 2)
                record = Preprocessing(
                    int(height),
                    int(width),
                    crop_ratio=float(random.uniform(0.5, 1.0)),
                    interpolation=interpolation,
                    fit=fit,
                )
                degrees = 90 * ((number + place) % 4)
                frame = _frame(upright, degrees)
                name = f"frame{len(lines)}.bin"
                (tmp_path / name).write_bytes(frame.tobytes())
                sizes = frame.shape[0], frame.shape[1] // 4 - 3, frame.shape[1], degrees
                how = height, width, record.crop_ratio, interpolation, fit
                lines.append(" ".join(map(str, (name, *sizes, *how))))
                expected.append((resize_and_crop(upright, record), record))
    (tmp_path / "cases.txt").write_text("\n".join(lines))
    subprocess.run(["java", "-cp", program, "PicturesKt", tmp_path], check=True, timeout=120)
    for number, (pixels, record) in enumerate(expected):
        found = np.fromfile(tmp_path / f"{number}.rgb", np.uint8).reshape(pixels.shape)
        np.testing.assert_array_equal(found, pixels, lines[number])
        values = np.loadtxt(tmp_path / f"{number}.txt", np.float32).reshape(pixels.shape)
        np.testing.assert_allclose(values, normalize(pixels, record), atol=1e-6)


def _frame(upright, degrees):
    """RGBA rows of a camera that is held askew, some bytes longer than their pixels."""
    turned = np.rot90(upright, degrees // 90)
    rgba = np.concatenate([turned, np.full_like(turned[..., :1], 255)], axis=-1)
    rows = rgba.reshape(len(rgba), -1)
    return np.pad(rows, [(0, 0), (0, 12)])
