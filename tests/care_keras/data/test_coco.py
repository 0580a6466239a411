"""COCO's JSON as tools export it, and as it must not be."""

import json
import os
import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from care_keras.data import coco
from care_keras.data.coco import find_json, read_annotations

CONTENT = {
    "images": [
        {"id": 7, "file_name": "a.jpg", "width": 40, "height": 30},
        {"id": "b", "file_name": "b.jpg", "width": 20, "height": 30},
    ],
    "annotations": [
        {"id": 1, "image_id": "b", "category_id": 9, "bbox": [2, 3, 4, 5], "area": 7.5},
        {"id": 2, "image_id": 7, "category_id": 2, "bbox": [-4.0, 6, 14, 100.5], "iscrowd": 1},
        {"id": 3, "image_id": "b", "category_id": 2, "bbox": [0, 0, 20, 30], "segmentation": [[]]},
    ],
    "categories": [{"id": 9, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 4, "name": "bird"}],
}


def changed(part, place, **changes):
    """`CONTENT` with other values in one record."""
    content = json.loads(json.dumps(CONTENT))
    content[part][place] |= changes
    return content


def write(path, content=CONTENT, images=None):
    """The JSON, and images of its sizes in `images`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    for name, size in (("a.jpg", (40, 30)), ("b.jpg", (20, 30))):
        folder = images or path.parent
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size).save(folder / name)
    return path


LAYOUTS = {
    "beside": ("train.json", "images"),
    "official": ("annotations/instances_train2017.json", "train2017"),
    "roboflow": ("train/_annotations.coco.json", "train"),
    "cvat": ("annotations/instances_train.json", "images/train"),
    "undivided": ("result.json", "images"),
    "cvat, undivided": ("annotations/instances_default.json", "images"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_where_tools_put_json_and_images(tmp_path, layout):
    name, images = LAYOUTS[layout]
    write(tmp_path / name, images=tmp_path / images)
    if layout == "official":
        write(tmp_path / "annotations" / "captions_train2017.json", "{}", tmp_path / "val2017")
    path, split = find_json(tmp_path, "train")
    assert path == tmp_path / name
    found = read_annotations(path, tmp_path, split)
    assert found.paths == [tmp_path / images / one for one in ("a.jpg", "b.jpg")]


def test_what_a_json_says(tmp_path):
    found = read_annotations(write(tmp_path / "train.json"), tmp_path, "train")
    assert found.image_ids == [7, "b"] and found.sizes == [(30, 40), (30, 20)]
    assert (found.category_ids, found.class_names) == ((2, 4, 9), ("dog", "bird", "cat"))
    # Cut to the image; of an object whose outline is not known the area is the box's.
    np.testing.assert_array_equal(found.boxes[0], [[6, 0, 30, 10]])
    np.testing.assert_array_equal(found.boxes[1], [[3, 2, 8, 6], [0, 0, 30, 20]])
    assert [labels.tolist() for labels in found.labels] == [[0], [2, 0]]
    assert [crowd.tolist() for crowd in found.crowd] == [[True], [False, False]]
    assert [areas.tolist() for areas in found.areas] == [[1407.0], [7.5, 600.0]]
    types = [part[0].dtype for part in (found.boxes, found.labels, found.crowd, found.areas)]
    assert types == [np.float32, np.int64, bool, np.float32]


@pytest.mark.parametrize(
    ("files", "split", "found"),
    [
        (("train.json", "val.json"), "validation", "val.json"),
        (("train/_annotations.coco.json", "valid/_annotations.coco.json"), "test", "valid"),
        (("annotations/instances_val2017.json",), "val2017", "val2017"),
        (("instances_2017.json",), "test", "instances_2017"),
    ],
)
def test_which_file_is_a_split_s(tmp_path, files, split, found):
    for name in files:
        write(tmp_path / name)
    assert found in os.fspath(find_json(tmp_path, split)[0])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "^No JSON of COCO's format in the folder"),
        (("train.json",), r"^The folder has the splits train\. Received: split='val'"),
        (("one.json", "two.json"), r"^The folder has the splits one, two\. Received"),
    ],
)
def test_splits_that_are_not_there(tmp_path, files, message):
    for name in files:
        write(tmp_path / name)
    with pytest.raises(ValueError, match=message):
        find_json(tmp_path, "val")


def test_sizes_that_are_not_said_are_the_images_own(tmp_path):
    content = changed("images", 0, width=None, height=None)
    found = read_annotations(write(tmp_path / "train.json", content), tmp_path, "train")
    assert found.sizes[0] == (30, 40)


@pytest.mark.parametrize(
    "box", [[5, 5, 0, 4], [5, 5, -3, 4], [40, 0, 5, 5], [0, 0, float("nan"), 5], [0, 0, 1e999, 5]]
)
def test_boxes_of_nothing_are_left_out_and_counted(tmp_path, capsys, box):
    path = write(tmp_path / "train.json", changed("annotations", 1, bbox=box))
    found = read_annotations(path, tmp_path, "train")
    assert [len(boxes) for boxes in found.boxes] == [0, 2] and found.boxes[0].shape == (0, 4)
    assert capsys.readouterr().err == (
        f"warning: 1 of 3 boxes in {path} are left out: they are empty or outside their image\n"
    )


@pytest.mark.parametrize("name", ["images\\a.jpg", "images/a.jpg", "./images//a.jpg"])
def test_folders_in_a_file_name(tmp_path, name):
    path = write(tmp_path / "result.json", changed("images", 0, file_name=name))
    write(tmp_path / "images" / "ignored.json")
    found = read_annotations(path, tmp_path, "result")
    assert found.paths[0] == tmp_path / "images" / "a.jpg"


BROKEN = {
    "no JSON": ("{'images': 1}", "Expecting property name"),
    "cut short": (json.dumps(CONTENT)[:300], "Not COCO's annotations: "),
    "not of text": (b"\x89PNG\xff\xfe", "codec can't decode"),
    "deep": ("[" * 100_000, "recursion"),
    "a number of a million digits": ("1" * 1_000_000, "Exceeds the limit"),
    "a list": ([], "it holds no object with images"),
    "no images": ({"annotations": [], "categories": []}, "it has no list of images"),
    "images of no use": (CONTENT | {"images": [1]}, "it has no list of images"),
    "no image": (CONTENT | {"images": []}, "its list of images is empty"),
    "no classes": (CONTENT | {"categories": []}, "its list of categories is empty"),
    "no id": (changed("images", 0, id=None), "an image has no id, but 'None'"),
    "an id of no use": (changed("annotations", 0, image_id=[1]), "an annotation has no image_id"),
    "a huge id": (changed("categories", 0, id=10**30), "a category has no id, but '10000"),
    "one id twice": (changed("images", 0, id="b"), "2 images have the id 'b'"),
    "a class twice": (changed("categories", 0, id=2), "2 categories have the id 2"),
    "a class without name": (changed("categories", 0, name=None), "category 9 has no name"),
    "another class": (changed("annotations", 0, category_id=3), "category 3, which is not listed"),
    "another image": (changed("annotations", 0, image_id=1), "image 1, which is not listed"),
    "no box": (changed("annotations", 0, bbox=None), "annotation 1 has no bbox of four numbers"),
    "three numbers": (changed("annotations", 0, bbox=[1, 2, 3]), "annotation 1 has no bbox"),
    "text": (changed("annotations", 0, bbox=["a"] * 4), "annotation 1 has no bbox"),
    "a huge number": (changed("annotations", 0, bbox=[10**400] * 4), "annotation 1 has no bbox"),
    "an area of text": (changed("annotations", 0, area="big"), "annotation 1 has no bbox of"),
    "a size of text": (changed("images", 0, width="wide"), "image 7 is 'wide' wide and 30 high"),
    "no size": (changed("images", 0, height=0), "image 7 is 40 wide and 0 high"),
    "a missing image": (changed("images", 0, file_name="c.jpg"), "there is no image '/.*/c.jpg'"),
    "a folder": (changed("images", 0, file_name="."), "there is no image '/"),
    "a null": (changed("images", 0, file_name="a\0.jpg"), "there is no image '/.*"),
    "no file": (changed("images", 0, file_name=None), "image 7 has no file_name"),
    **{
        name: (
            changed("images", 0, file_name=name),
            rf"file_name must lie in their folder, and {re.escape(repr(name))} does not",
        )
        for name in (
            "../a.jpg",
            "/etc/passwd",
            "x/../../a.jpg",
            "..\\a.jpg",
            "C:\\a.jpg",
            "\\a.jpg",
        )
    },
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_not_coco_s(tmp_path, kind):
    content, message = BROKEN[kind]
    # What the names lead to is there.
    path = write(tmp_path / "in" / "train.json", images=tmp_path)
    path = write(path, content if not isinstance(content, bytes) else "")
    if isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_annotations(path, tmp_path / "in", "train")
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
    assert str(error.value).endswith(f"Received: {path}")


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="^Cannot read it: No such file or directory"):
        read_annotations(tmp_path / "none.json", tmp_path, "none")
    path = write(tmp_path / "train.json")
    monkeypatch.setattr(coco, "machine_memory", lambda: 1000.0)
    with pytest.raises(ValueError, match="GB are too much for this machine's memory"):
        read_annotations(path, tmp_path, "train")


def test_no_cut_makes_another_error(tmp_path):
    """Damaged anywhere, it is refused in one line, or still COCO's."""
    text, path = json.dumps(CONTENT), write(tmp_path / "train.json")
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(text.encode())
        for place in generator.integers(0, len(damaged), 1 + generator.integers(3)):
            damaged[place] = generator.integers(32, 127)
        path.write_bytes(damaged)
        try:
            read_annotations(path, tmp_path, "train")
        except ValueError as error:
            refused += 1
            assert "\n" not in str(error)
    assert 100 < refused < 290


@pytest.mark.parametrize("name", ["bccd", "coco_mini"])
def test_real_annotations(dense_folder, name):
    folder: pathlib.Path = dense_folder / name
    path, split = find_json(folder, "val")
    found, content = read_annotations(path, folder, split), json.loads(path.read_text())
    assert found.image_ids == [image["id"] for image in content["images"]]
    assert sum(map(len, found.boxes)) == len(content["annotations"])
    one = content["annotations"][100]
    place = found.image_ids.index(one["image_id"])
    x, y, width, height = one["bbox"]
    expected = [y, x, y + height, x + width]
    assert np.abs(found.boxes[place] - expected).max(axis=1).min() < 1e-3
