"""Detectors and segmenters in MediaPipe Tasks: the boxes and masks of our NumPy code."""

import pytest

from tests.needed import need_package
from tests.tflite.commands import run_here
from tests.tflite.dense_models import DATA, write_dense_model
from tflite.mediapipe.comparisons import Boxes, Pixels


@pytest.fixture(scope="module", params=DATA)
def converted(request, dense_folder, tmp_path_factory):
    """Task, its int8 file, and photos."""
    need_package("mediapipe", "mediapipe")
    photos = dense_folder / DATA[request.param] / "images"
    _, path = write_dense_model(request.param, tmp_path_factory.mktemp("mediapipe"), photos)
    return request.param, path, photos


def test_boxes_and_masks_are_ours(converted):
    task, path, photos = converted
    flags = [f"--model={path.name}", f"--data={photos}", "--samples=6"]
    done = run_here("tflite.mediapipe", *flags, folder=path.parent)
    assert done.returncode == 0, done.stderr
    (row,) = (line.split() for line in done.stdout.splitlines() if ".tflite " in line)
    assert row[1] == "6" and row[-3:] == ["in", "the", "file"]
    if task == "detection":
        boxes, missed, pixels = row[2:5]
        assert int(boxes) >= 6 and missed == "0" and float(pixels) <= 1
    else:
        assert float(row[2].rstrip("%")) >= 99.9 and int(row[3]) > 1


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Boxes("m", 1, True, "", 5, 2.5, 0, 0.0), "boxes differ by 2.5 pixels"),
        (Boxes("m", 1, True, "", 5, 0.5, 0, 0.2), "scores differ by 0.2"),
        (Boxes("m", 1, True, "", 5, 0.5, 2, 0.0), "2 boxes are missed"),
        (Boxes("m", 1, True, "", 5, 0.5, 0, 0.0), None),
        (Pixels("m", 1, True, "", 0.99, 3), "99.000% of the pixels of one class"),
        (Pixels("m", 1, True, "", 0.9995, 3), None),
    ],
)
def test_what_fails(found, said):
    assert found.failure(1e-4) == said
