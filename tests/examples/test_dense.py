"""The examples of detection and segmentation, as their users run them."""

import re

import keras
import numpy as np
import pytest
from PIL import Image

from care_keras.data.detection import open_detection
from care_keras.data.segmentation import open_segmentation
from care_keras.models import CAREBackbone, Preprocessing, SemanticFPN
from tests.care_keras.helpers import TINY
from tests.tflite.commands import run_here

PHOTOS = open_detection("bundled", "test").item_names[:2]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """The folder that `examples.cell_masks` makes."""
    folder = tmp_path_factory.mktemp("masks") / "cells"
    done = run_here("examples.cell_masks", f"--output={folder}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"wrote {folder}"
    return folder


def test_masks_are_of_the_boxes(cells):
    boxes = open_detection("bundled", "train")
    maps = open_segmentation(str(cells), "train")
    assert maps.class_names == ("background", *boxes.class_names)
    assert len(maps) == len(boxes)
    for index in range(len(maps)):
        objects = boxes.objects(index)
        # The smallest is covered by no other.
        top, left, bottom, right = objects.boxes[np.argmin(objects.areas)].astype(int)
        middle = maps.mask(index)[(top + bottom) // 2, (left + right) // 2]
        assert middle == 1 + objects.labels[np.argmin(objects.areas)]
        assert 0 < np.mean(maps.mask(index) == 0) < 1


def test_what_is_there_is_left_alone(cells):
    done = run_here("examples.cell_masks", f"--output={cells}")
    assert done.returncode == 2
    assert done.stderr == f"error: --output: {cells} is there already; name another folder\n"


def test_cells_are_found_and_drawn(tmp_path):
    done = run_here(
        "examples.detect",
        "--model=care_xs_bccd",
        *(f"--photo={photo}" for photo in PHOTOS),
        f"--output={tmp_path / 'found.png'}",
    )
    assert done.returncode == 0, done.stderr
    *lines, wrote = done.stdout.splitlines()
    assert wrote == f"wrote {tmp_path / 'found.png'}"
    known = open_detection("bundled", "test")
    for index, line in enumerate(lines):
        counts = dict(map(reversed, re.findall(r"(\d+) (\w+)", line.partition(": ")[2])))
        cells = np.sum(known.objects(index).labels == known.class_names.index("RBC"))
        assert abs(int(counts["RBC"]) - cells) <= 0.5 * cells
    with Image.open(tmp_path / "found.png") as picture:
        width, height = picture.size
    sizes = [known.image_size(index) for index in range(2)]
    assert width == max(size[1] for size in sizes)
    assert height > sum(size[0] for size in sizes)


@pytest.mark.parametrize("labels", [("cell", "background"), None])
def test_pixels_are_coloured_by_their_class(labels, tmp_path):
    keras.utils.set_random_seed(0)
    backbone = CAREBackbone(**TINY.backbone_kwargs(), image_shape=(None, None, 3))
    record = Preprocessing(64, 96, fit="stretch", interpolation="bilinear")
    model = SemanticFPN(backbone, 2, preprocessing=record, labels=labels)
    # Whatever is seen, of the second class.
    model.get_layer("logits").bias.assign([0.0, 100.0])
    model.save(tmp_path / "model.keras")
    done = run_here(
        "examples.segment",
        f"--model={tmp_path / 'model.keras'}",
        f"--photo={PHOTOS[0]}",
        f"--output={tmp_path / 'classes.png'}",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == f"{PHOTOS[0]}: 100.0% {labels[1] if labels else 1}"
    height, width = open_detection("bundled", "test").image_size(0)
    with Image.open(tmp_path / "classes.png") as picture:
        assert picture.height == height
        assert picture.width > 2 * width


@pytest.mark.parametrize(
    ("example", "photo", "output", "message"),
    [
        ("detect", "none.jpg", "found.png", "Cannot decode the image"),
        ("detect", PHOTOS[0], "found.gif", "--output must end in .png"),
        ("segment", PHOTOS[0], "classes.png", "A segmenter must give logits"),
    ],
)
def test_mistakes_are_one_line(example, photo, output, message, tmp_path):
    flags = (f"--photo={photo}", f"--output={output}")
    done = run_here(f"examples.{example}", "--model=care_xs_bccd", *flags, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {message}"), done.stderr
    assert not list(tmp_path.iterdir())
