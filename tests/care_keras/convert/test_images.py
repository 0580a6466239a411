import numpy as np
import pytest
from PIL import Image

from care_keras.convert.images import open_calibration_and_held_out, read_pixels
from care_keras.data.sources import open_source
from care_keras.models import Preprocessing

RECORD = Preprocessing(height=8, width=8)


@pytest.fixture
def folder(tmp_path):
    """Ten real photos and a file that is none, with no class folders."""
    source = open_source("bundled", "test")
    for i in range(10):
        Image.fromarray(source[i]).save(tmp_path / f"{i}.png")
    return tmp_path


def test_bundled_calibration_is_train_and_the_check_test():
    calibration, held_out, warning = open_calibration_and_held_out("bundled", None, 30, 40, 0)
    assert (len(calibration), len(held_out), warning) == (30, 40, None)
    assert calibration.name == "bundled:train" and held_out.name == "bundled:test"
    assert not set(calibration.item_names) & set(held_out.item_names)


def test_a_folder_without_splits_is_divided(folder):
    calibration, held_out, _ = open_calibration_and_held_out(str(folder), None, 300, 300, 0)
    assert len(calibration) == 8 and len(held_out) == 2
    assert not set(calibration.item_names) & set(held_out.item_names)


def test_a_single_image_is_used_twice_and_said_so(folder):
    for path in sorted(folder.iterdir())[1:]:
        path.unlink()
    calibration, held_out, warning = open_calibration_and_held_out(str(folder), None, 9, 9, 0)
    assert len(calibration) == len(held_out) == 1
    assert "the check uses the calibration image itself" in warning


def test_other_images_can_be_held_out(folder):
    calibration, held_out, _ = open_calibration_and_held_out(str(folder), "bundled", 10, 5, 0)
    assert calibration.name == str(folder) and held_out.name == "bundled:test"


def test_images_that_are_named_twice_are_divided(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    calibration, held_out, _ = open_calibration_and_held_out(str(folder), folder.name, 9, 9, 0)
    assert len(calibration) == 8 and len(held_out) == 2
    assert not set(calibration.item_names) & set(held_out.item_names)


def test_unreadable_images_are_named_and_skipped(folder, capsys):
    (folder / "broken.jpg").write_bytes(b"no image")
    source = open_source(str(folder))
    pixels, labels = read_pixels(source, RECORD, "reading")
    assert pixels.shape == (10, 8, 8, 3) and pixels.dtype == np.uint8 and labels is None
    error = capsys.readouterr().err
    assert "skipped 1 unreadable of 11 images" in error and "broken.jpg" in error
    # Of a strip nothing is left at the model's size.
    Image.new("RGB", (1, 1_000_000)).save(folder / "strip.png")
    pixels, _ = read_pixels(open_source(str(folder)), RECORD, "reading")
    assert len(pixels) == 10 and "strip.png" in capsys.readouterr().err


def test_labels_stay_with_their_images(tmp_path):
    source = open_source("bundled", "test")
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.fromarray(source[0]).save(tmp_path / name / "0.png")
    (tmp_path / "cat" / "1.png").write_bytes(b"")
    _, labels = read_pixels(open_source(str(tmp_path)), RECORD, "reading")
    np.testing.assert_array_equal(labels, [0, 1])


def test_all_unreadable_is_an_error(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"None of the 1 images is readable\. Received: .*a\.jpg"):
        read_pixels(open_source(str(tmp_path)), RECORD, "reading")
