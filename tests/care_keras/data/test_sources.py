import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from care_keras.data import tfds_examples
from care_keras.data.detection import open_detection
from care_keras.data.sources import BCCD_SAMPLE, BUNDLED_SAMPLE, check_source, open_source


def write_images(folder, *names):
    """PNGs of one colour each, a different one for every name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (4, 3), colour_of(folder.name + name)).save(folder / name, "PNG")


def colour_of(text):
    return tuple(sum(text.encode()) * factor % 256 for factor in (1, 7, 31))


def names_below(source, folder):
    return [os.path.relpath(name, folder) for name in source.item_names]


def test_class_folders(tmp_path):
    write_images(tmp_path / "dog", "2.png", "1.png")
    write_images(tmp_path / "Cat", "0.png")
    write_images(tmp_path / "zebra", "3.png")
    source = open_source(str(tmp_path))
    assert source.class_names == ("Cat", "dog", "zebra")
    assert names_below(source, tmp_path) == ["Cat/0.png", "dog/1.png", "dog/2.png", "zebra/3.png"]
    assert source.labels.tolist() == [0, 1, 1, 2]
    assert source.labels.dtype == np.int64
    assert (len(source), source.name) == (4, str(tmp_path))
    for i, name in enumerate(names_below(source, tmp_path)):
        expected = np.broadcast_to(colour_of(name.replace("/", "")), (3, 4, 3))
        np.testing.assert_array_equal(source[i], expected)


def test_flat_folder_is_unlabelled(tmp_path):
    write_images(tmp_path, "b.png", "a.PNG", "c.jpeg")
    source = open_source(str(tmp_path))
    assert names_below(source, tmp_path) == ["a.PNG", "b.png", "c.jpeg"]
    assert (source.labels, source.class_names) == (None, None)


def test_what_is_no_image_is_left_out(tmp_path):
    write_images(tmp_path / "a", "1.png", "._1.png")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / "a" / "folder.png").mkdir()
    (tmp_path / "labels.csv").write_text("a,1")
    write_images(tmp_path / ".thumbnails", "1.png")
    source = open_source(str(tmp_path))
    assert source.class_names == ("a",)
    assert names_below(source, tmp_path) == ["a/1.png"]


def test_images_of_every_kind(tmp_path):
    kinds = {
        "JPEG": (".jpg", ".JPEG", ".jpe", ".jfif"),
        "PNG": (".png",),
        "BMP": (".bmp",),
        "WEBP": (".webp",),
        "GIF": (".gif",),
        "TIFF": (".tif", ".tiff"),
        "PPM": (".ppm", ".pgm"),
    }
    for kind, suffixes in kinds.items():
        for suffix in suffixes:
            Image.new("RGB", (4, 3), (200, 200, 200)).save(tmp_path / f"{kind}{suffix}", kind)
    source = open_source(str(tmp_path))
    assert len(source) == sum(map(len, kinds.values()))
    for index in range(len(source)):
        assert source[index].shape == (3, 4, 3) and (abs(source[index].astype(int) - 200) < 3).all()


def test_images_that_are_left_out_are_named(tmp_path, capsys):
    write_images(tmp_path / "a", "1.png", "._2.heic")
    for number in range(5):
        (tmp_path / "a" / f"{number}.HEIC").write_bytes(b"")
    (tmp_path / "a" / "notes.txt").write_text("")
    assert len(open_source(str(tmp_path))) == 1
    assert capsys.readouterr().err == (
        "warning: left out, as images of that kind are not read: a/0.HEIC, a/1.HEIC, a/2.HEIC "
        "and 2 more\n"
    )
    (tmp_path / "a" / "1.png").unlink()
    with pytest.raises(ValueError, match=r"No image \(.*; not a/0\.HEIC, .*\) in the folder"):
        open_source(str(tmp_path))


def test_an_empty_class_keeps_its_index(tmp_path, capsys):
    write_images(tmp_path / "a", "1.png")
    (tmp_path / "b").mkdir()
    write_images(tmp_path / "c", "1.png")
    source = open_source(str(tmp_path))
    assert source.class_names == ("a", "b", "c")
    assert source.labels.tolist() == [0, 2]
    assert "without an image, which count as classes all the same: b" in capsys.readouterr().err


def test_folders_within_a_class(tmp_path):
    write_images(tmp_path / "a", "1.png")
    write_images(tmp_path / "b" / "2024", "1.png")
    write_images(tmp_path / "b" / "2025", "0.png")
    source = open_source(str(tmp_path))
    assert names_below(source, tmp_path) == ["a/1.png", "b/2024/1.png", "b/2025/0.png"]
    assert source.labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("present", "split", "opened"),
    [
        (("train", "test"), "test", "test"),
        (("train", "test"), "train", "train"),
        (("train", "val"), "test", "val"),
        (("train", "validation"), "test", "validation"),
        (("training", "valid"), "test", "valid"),
        (("training", "valid"), "train", "training"),
        (("val", "test"), "val", "val"),
        (("dev", "holdout"), "holdout", "holdout"),
    ],
)
def test_split_folders(tmp_path, present, split, opened):
    for name in present:
        write_images(tmp_path / name / "a", f"{name}.png")
        write_images(tmp_path / name / "b", f"{name}.png")
    source = open_source(str(tmp_path), split)
    assert names_below(source, tmp_path) == [f"{opened}/a/{opened}.png", f"{opened}/b/{opened}.png"]
    assert source.class_names == ("a", "b")


def test_split_folders_of_unlabelled_images(tmp_path):
    write_images(tmp_path / "train" / "a", "1.png")
    write_images(tmp_path / "test", "2.png")
    assert open_source(str(tmp_path), "train").class_names == ("a",)
    source = open_source(str(tmp_path), "test")
    assert names_below(source, tmp_path) == ["test/2.png"]
    assert source.labels is None
    write_images(tmp_path / "flat" / "training", "1.png")
    write_images(tmp_path / "flat" / "valid", "2.png")
    source = open_source(str(tmp_path / "flat"), "test")
    assert names_below(source, tmp_path) == ["flat/valid/2.png"] and source.labels is None


def test_split_that_the_folder_does_not_have(tmp_path):
    write_images(tmp_path / "train" / "a", "1.png")
    write_images(tmp_path / "test" / "a", "1.png")
    with pytest.raises(ValueError, match=r"splits test, train: .*Received: split='calibration', "):
        open_source(str(tmp_path), "calibration")


def test_split_folder_opened_by_itself(tmp_path):
    write_images(tmp_path / "train" / "a", "1.png")
    assert open_source(str(tmp_path / "train"), "test").class_names == ("a",)


def test_a_class_may_be_called_train(tmp_path):
    write_images(tmp_path / "bus", "1.png")
    write_images(tmp_path / "train", "1.png")
    source = open_source(str(tmp_path), "train")
    assert source.class_names == ("bus", "train")


def test_unreadable_image_fails_when_it_is_read(tmp_path):
    write_images(tmp_path / "a", "1.png")
    (tmp_path / "a" / "2.png").write_bytes(b"")
    source = open_source(str(tmp_path))
    assert source[0].shape == (3, 4, 3)
    with pytest.raises(ValueError, match=r"Received: .*2\.png"):
        source[1]


def test_folders_without_images(tmp_path):
    (tmp_path / "empty" / "a" / "b").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("")
    for folder in (tmp_path / "empty", tmp_path):
        with pytest.raises(ValueError, match=r"No image \(\.jpg, .*Received: "):
            open_source(str(folder))


def test_missing_folder(tmp_path):
    write_images(tmp_path, "file.png")
    for spec in ("missing", "file.png"):
        with pytest.raises(ValueError, match=rf"No such folder .*{spec}'$"):
            open_source(str(tmp_path / spec))
    with pytest.raises(ValueError, match=r"Received: ''$"):
        open_source("")


@pytest.fixture
def letters(tmp_path):
    for label in "abc":
        write_images(tmp_path / label, "1.png", "2.png")
    return open_source(str(tmp_path))


def test_take_keeps_images_and_labels_together(letters):
    taken = letters.take([5, 0], name="two")
    assert (taken.name, len(taken), taken.class_names) == ("two", 2, ("a", "b", "c"))
    assert taken.labels.tolist() == [2, 0]
    assert taken.item_names == (letters.item_names[5], letters.item_names[0])
    np.testing.assert_array_equal(taken[0], letters[5])
    np.testing.assert_array_equal(taken.take([1])[0], letters[0])


def test_sample(letters):
    sample = letters.sample(4, seed=1)
    assert len(set(sample.item_names)) == 4
    assert sample.item_names == letters.sample(4, seed=1).item_names
    assert sample.item_names != letters.sample(4, seed=2).item_names
    assert letters.sample(6) is letters.sample(99) is letters


def test_bundled_sample():
    train, test = open_source("bundled", "train"), open_source("bundled:test", "train")
    assert (train.name, test.name) == ("bundled:train", "bundled:test")
    assert train.class_names == test.class_names
    assert len(train.class_names) == 10
    for source in (train, test):
        counts = np.bincount(source.labels, minlength=10)
        assert counts.min() == counts.max() == len(source) / 10
        assert source[len(source) - 1].shape == (32, 32, 3)
        # Real photos: no flat colour among them.
        assert all(source[i].std() > 5 for i in range(20))


def test_bundled_splits_share_no_image():
    sources = [open_source("bundled", split) for split in ("train", "test")]
    pixels = [{source[i].tobytes() for i in range(len(source))} for source in sources]
    assert not pixels[0] & pixels[1]
    assert not set(sources[0].item_names) & set(sources[1].item_names)


def test_bundled_sample_is_small():
    assert BUNDLED_SAMPLE.stat().st_size <= 3e6


def test_bundled_images_of_bccd():
    images = open_source("bundled:bccd")
    check_source("bundled:bccd")
    boxes = [open_detection("bundled", split) for split in ("train", "test")]
    assert len(images) == sum(map(len, boxes)) == 24 and images.labels is None
    names = [{pathlib.Path(one).name for one in source.item_names} for source in boxes]
    assert not names[0] & names[1]
    for source in boxes:
        assert source.class_names == ("RBC", "WBC", "Platelets")
        for index in range(len(source)):
            assert source[index].shape == (480, 640, 3) and len(source.objects(index)) > 3
    assert "MIT License" in (BCCD_SAMPLE / "LICENSE").read_text()
    assert sum(one.stat().st_size for one in BCCD_SAMPLE.rglob("*")) < 1e6


def test_bundled_split_that_is_not_there():
    with pytest.raises(ValueError, match=r"\('train', 'test'\)\. Received: 'val'$"):
        open_source("bundled:val")


def test_tfds(tfds_folder):
    source = open_source("tfds:cifar10:test[:50]", "train")
    assert source.name == "tfds:cifar10:test[:50]"
    assert len(source) == len(set(source.item_names)) == 50
    assert source.class_names[0] == "airplane"
    assert source[7].shape == (32, 32, 3)
    assert len(open_source("tfds:cifar10", "test[:1%]")) == 100


def test_tfds_that_does_not_fit_into_memory(tfds_folder, monkeypatch):
    monkeypatch.setattr(tfds_examples, "machine_memory", lambda: 1e7)
    message = r"GB of memory; a folder of images needs none\. Received: 'tfds:cifar10:train'$"
    with pytest.raises(ValueError, match=message):
        open_source("tfds:cifar10:train")
    assert len(open_source("tfds:cifar10:test[:50]")) == 50


def test_bundled_images_are_those_of_tfds(tfds_folder):
    bundled, full = open_source("bundled", "test"), open_source("tfds:cifar10:test")
    index = full.item_names.index(bundled.item_names[3])
    np.testing.assert_array_equal(bundled[3], full[index])
    assert bundled.labels[3] == full.labels[index]
    assert bundled.class_names == full.class_names


@pytest.mark.parametrize("spec", ["tfds:cifar10:dev", "tfds:no_such_data_set", "tfds:cifar10/9.9"])
def test_tfds_that_is_not_there(tfds_folder, spec):
    with pytest.raises(ValueError, match=r"Cannot open .* with TFDS: ") as error:
        open_source(spec)
    assert "\n" not in str(error.value)


def test_tfds_without_a_name():
    with pytest.raises(ValueError, match=r"Received: 'tfds:'$"):
        open_source("tfds:")
