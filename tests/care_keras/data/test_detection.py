import json

import numpy as np
import pytest
from PIL import ExifTags, Image

from care_keras.data.detection import open_detection
from tests.care_keras.data.made_tfds import photo, prepare


@pytest.fixture(scope="module")
def coco(dense_folder):
    return open_detection(str(dense_folder / "coco_mini"), "val")


def test_real_images(coco):
    assert (len(coco), len(coco.class_names), coco.class_names[0]) == (158, 80, "person")
    assert coco.labels is None and coco.name.endswith("coco_mini/val.json")
    assert coco.category_ids[:12] == (*range(1, 12), 13)
    assert sum(coco.objects(i).crowd.sum() for i in range(158)) > 5
    for i in range(0, 158, 10):
        image, objects = coco[i], coco.objects(i)
        assert image.dtype == np.uint8 and str(coco.image_ids[i]) in coco.item_names[i]
        assert len(objects) == coco.object_counts[i] and coco.image_size(i) == image.shape[:2]
        assert (objects.boxes[:, :2] >= 0).all()
        assert (objects.boxes[:, 2:] <= image.shape[:2]).all()
        # Outlines lie inside their boxes.
        of_boxes = np.prod(objects.boxes[:, 2:] - objects.boxes[:, :2], axis=1)
        assert (objects.areas <= 1.01 * of_boxes + 1).all()


def test_take_and_sample_keep_all_together(coco):
    taken = coco.take([30, 7], "two").take([1])
    assert (taken.name, len(taken), taken.image_ids) == ("two", 1, (coco.image_ids[7],))
    np.testing.assert_array_equal(taken.objects(0).boxes, coco.objects(7).boxes)
    np.testing.assert_array_equal(taken[0], coco[7])
    assert taken.image_size(0) == coco.image_size(7)
    assert taken.object_counts.tolist() == [coco.object_counts[7]]
    sample = coco.sample(5, seed=3)
    for i in range(5):
        place = coco.image_ids.index(sample.image_ids[i])
        np.testing.assert_array_equal(sample.objects(i).labels, coco.objects(place).labels)


def one_image(folder, orientation, size):
    """A black image with a white rectangle and its box, which is as `size` says."""
    pixels = np.zeros((24, 40, 3), np.uint8)
    pixels[3:11, 8:32] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(pixels).save(folder / "a.png", exif=exif)
    boxes = {(24, 40): [8, 3, 24, 8], (40, 24): [13, 8, 8, 24]}
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": size[0], "width": size[1]}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": boxes.get(size, [0, 0, 1, 1])}],
        "categories": [{"id": 1, "name": "white"}],
    }
    (folder / "train.json").write_text(json.dumps(content))
    return open_detection(str(folder), "train")


@pytest.mark.parametrize(
    ("orientation", "size"),
    # The last was drawn on the upright image, as tools that turn it do.
    [(1, (24, 40)), (3, (24, 40)), (6, (24, 40)), (8, (24, 40)), (6, (40, 24))],
)
def test_boxes_are_on_the_image_that_is_given(tmp_path, orientation, size):
    source = one_image(tmp_path, orientation, size)
    white = np.argwhere(source[0][..., 0] == 255)
    expected = [*white.min(axis=0), *(white.max(axis=0) + 1)]
    np.testing.assert_array_equal(source.objects(0).boxes, [expected])


def test_boxes_of_an_image_of_another_size(tmp_path):
    source = one_image(tmp_path, 1, (48, 80))
    message = r"^The boxes are on an image of 80x48 pixels, and it has 40x24\. Received: /.*a\.png$"
    with pytest.raises(ValueError, match=message):
        source.objects(0)


def test_the_bundled_images_have_one_name_everywhere():
    assert open_detection("bundled:bccd").item_names == open_detection("bundled").item_names


@pytest.mark.parametrize("spec", ["", "no/such/folder"])
def test_folders_that_are_not_there(spec):
    with pytest.raises(ValueError, match=rf"^No such folder .* Received: '{spec}'$"):
        open_detection(spec)


def objects_feature(**more):
    import tensorflow_datasets as tfds

    of_object = {
        "bbox": tfds.features.BBoxFeature(),
        "label": tfds.features.ClassLabel(names=["cell", "dust"]),
        **more,
    }
    return {
        "image": tfds.features.Image(encoding_format="png"),
        "objects": tfds.features.Sequence(of_object),
    }


def test_tfds(tmp_path, monkeypatch, capfd):
    import tensorflow_datasets as tfds

    features = objects_feature(is_crowd=np.bool_) | {"image/id": np.int64}
    box = tfds.features.BBox(0.1, 0.2, 0.5, 1.0)
    empty = tfds.features.BBox(0.3, 0.3, 0.3, 0.6)
    objects = [
        [
            {"bbox": box, "label": 1, "is_crowd": True},
            {"bbox": empty, "label": 0, "is_crowd": False},
        ],
        [],
    ]
    examples = [
        {"image": photo(i), "image/id": 40 + i, "objects": one} for i, one in enumerate(objects)
    ]
    spec = prepare(monkeypatch, tmp_path, "cells", features, examples)
    capfd.readouterr()
    source = open_detection(spec, "train")
    assert (source.name, len(source), source.image_ids) == ("tfds:cells:train", 2, (40, 41))
    assert (source.class_names, source.category_ids) == (("cell", "dust"), (0, 1))
    assert source.item_names == ("train[0]", "train[1]")
    assert "warning: 1 of 2 boxes in tfds:cells:train are left out: they" in capfd.readouterr().err
    np.testing.assert_array_equal(source[1], photo(1))
    found = source.objects(0)
    np.testing.assert_allclose(found.boxes, [[2, 6, 10, 30]], rtol=1e-6)
    assert (found.labels.tolist(), found.crowd.tolist()) == ([1], [True])
    np.testing.assert_allclose(found.areas, [192], rtol=1e-6)
    assert len(source.objects(1)) == 0 and source.object_counts.tolist() == [1, 0]


def test_tfds_with_other_features(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    example = {"image": photo(0), "label": 0}
    features = {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(num_classes=2)}
    spec = prepare(monkeypatch, tmp_path, "labelled", features, [example])
    message = (
        r"^The data set must have `objects` .* Received: 'tfds:labelled:train' with image, label$"
    )
    with pytest.raises(ValueError, match=message):
        open_detection(spec, "train")
    pixels = objects_feature(bbox=tfds.features.BBoxFeature(bbox_format="XYWH"))
    spec = prepare(monkeypatch, tmp_path, "pixels", pixels, [{"image": photo(0), "objects": []}])
    with pytest.raises(ValueError, match=r"^Boxes must be ymin, xmin, ymax, xmax from 0 to 1\."):
        open_detection(spec, "train")
