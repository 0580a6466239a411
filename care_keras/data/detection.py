"""Images with boxes: from a folder with COCO's JSON, or from TFDS."""

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import Self

import numpy as np

from care_keras.data.coco import find_json, read_annotations, warn_of_empty
from care_keras.data.preprocessing import decode_image
from care_keras.data.sources import BCCD_SAMPLE, BUNDLED_BCCD, Source
from care_keras.data.tfds_examples import import_tfds, tfds_examples
from care_keras.data.upright import stored_form


@dataclasses.dataclass(frozen=True)
class Objects:
    """The objects of one image.

    Attributes:
        boxes: float32 `(n, 4)`: ymin, xmin, ymax, xmax in pixels of the image.
        labels: int64 `(n,)`: indices of their classes.
        crowd: bool `(n,)`: a region of many such objects, which counts neither
            as found nor as missed.
        areas: float32 `(n,)`: of the objects' outlines in pixels, where those
            were known, else of the boxes.
    """

    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)


@dataclasses.dataclass(frozen=True)
class DetectionSource(Source):
    """Random access to images and the objects in them; see `Source`.

    It has no `labels`. Where EXIF turns an image its boxes turn with it; boxes that
    were drawn on the upright image, as its size in the JSON tells, stay.

    Attributes:
        read_objects: `read_objects(index)` gives `Objects`, or raises ValueError
            if they do not fit the image.
        read_size: `read_size(index)` gives height and width of an image, without
            decoding it.
        object_counts: int64 `(images,)`: how many objects each image has.
        image_ids: The data set's own names of the images.
        category_ids: Its own numbers of the classes, in their order.
    """

    read_objects: Callable[[int], Objects]
    read_size: Callable[[int], tuple[int, int]]
    object_counts: np.ndarray
    image_ids: tuple
    category_ids: tuple[int, ...]

    def objects(self, index: int) -> Objects:
        """The objects in an image."""
        return self.read_objects(index)

    def image_size(self, index: int) -> tuple[int, int]:
        """Height and width of an image in pixels."""
        return self.read_size(index)

    def take(self, indices, name: str | None = None) -> Self:
        indices = np.asarray(indices, np.int64)
        return dataclasses.replace(
            super().take(indices, name),
            read_objects=lambda i: self.read_objects(int(indices[i])),
            read_size=lambda i: self.read_size(int(indices[i])),
            object_counts=self.object_counts[indices],
            image_ids=tuple(self.image_ids[i] for i in indices),
        )


def open_detection(spec: str, split: str = "test") -> DetectionSource:
    """Opens images with boxes.

    Args:
        spec: `bundled` or `bundled:bccd` for the few images of BCCD in the package, with the splits
            `train` and `test`; `tfds:NAME[:SPLIT]` for a prepared TFDS data set with
            `objects`, else a folder with JSON files of COCO's format: `train.json` beside
            `images/`, `annotations/instances_train2017.json` beside `train2017/`,
            or `train/_annotations.coco.json` among its images.
        split: Split to open. `val`, `valid` and `validation` are one, and serve as
            `test` where there is none. One JSON alone that is named after no
            split has all images, whatever split is asked for.

    Raises:
        ValueError: If there is no such data, or it cannot be used.
    """
    if spec.startswith("tfds:"):
        return _open_tfds(spec, split)
    folder = BCCD_SAMPLE if spec in ("bundled", BUNDLED_BCCD) else pathlib.Path(spec)
    if not spec or not folder.is_dir():
        raise ValueError(f"No such folder of images and boxes. Received: {spec!r}")
    path, name = find_json(folder, split)
    found = read_annotations(path, folder, name)

    def read_objects(index):
        fields = (found.boxes, found.labels, found.crowd, found.areas)
        objects = Objects(*(field[index] for field in fields))
        path = found.paths[index]
        return _upright(objects, stored_form(path), found.sizes[index], path)

    return _source(
        os.fspath(path), found.paths, read_objects, found, tuple(map(os.fspath, found.paths))
    )


@dataclasses.dataclass(frozen=True)
class _OfTfds:
    """What `Annotations` of a JSON hold, of a split of TFDS; boxes from 0 to 1."""

    boxes: list
    image_ids: list
    category_ids: tuple
    class_names: tuple


def _open_tfds(spec, split):
    name, features, examples = tfds_examples(spec, split)
    label = _label_feature(name, features)
    images, records, totals, names, ids = [], [], [], [], []
    for place, example in enumerate(examples):
        images.append(bytes(example["image"]))
        records.append(_relative(example["objects"]))
        totals.append(len(example["objects"]["label"]))
        names.append(example["name"])
        ids.append(int(example.get("image/id", place)))
    total = sum(totals)
    warn_of_empty(total - sum(map(len, records)), total, name)
    classes = tuple(label.names)
    boxes = [record.boxes for record in records]
    found = _OfTfds(boxes, ids, tuple(range(len(classes))), classes)

    def read_objects(index):
        form = stored_form(images[index])
        return _upright(_in_pixels(records[index], form.size), form, form.size, names[index])

    return _source(name, images, read_objects, found, tuple(names))


def _label_feature(name, features):
    """The classes of `objects`, which must be boxes as TFDS has them by default."""
    tfds = import_tfds()
    inner = getattr(features.get("objects"), "feature", None)
    of_object = dict(inner.items()) if isinstance(inner, tfds.features.FeaturesDict) else {}
    box, label = of_object.get("bbox"), of_object.get("label")
    is_box = isinstance(box, tfds.features.BBoxFeature)
    if not is_box or not isinstance(label, tfds.features.ClassLabel):
        raise ValueError(
            "The data set must have `objects` with `bbox` and a `label` of classes. "
            f"Received: {name!r} with {', '.join(sorted(features))}"
        )
    if getattr(box.bbox_format, "name", "REL_YXYX") != "REL_YXYX":
        raise ValueError(
            "Boxes must be ymin, xmin, ymax, xmax from 0 to 1. "
            f"Received: {name!r} with {box.bbox_format}"
        )
    return label


def _relative(record):
    """An example's objects with boxes from 0 to 1, but the empty ones; no area is NaN."""
    labels = np.asarray(record["label"], np.int64)
    boxes = np.asarray(record["bbox"], np.float32).reshape(-1, 4).clip(0.0, 1.0)
    crowd = np.asarray(record.get("is_crowd", np.zeros(len(labels))), bool)
    areas = np.asarray(record.get("area", np.full(len(labels), np.nan)), np.float32)
    kept = np.all(boxes[:, 2:] > boxes[:, :2], axis=1) & (labels >= 0)
    return Objects(boxes[kept], labels[kept], crowd[kept], areas[kept])


def _in_pixels(record, size):
    boxes = (record.boxes * np.tile(size, 2)).astype(np.float32)
    of_boxes = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    areas = np.where(np.isnan(record.areas), of_boxes, record.areas)
    return dataclasses.replace(record, boxes=boxes, areas=areas)


def _upright(objects, form, size, name):
    """The objects as they lie on the upright image; `size` is of what they were drawn on."""
    if size not in (form.size, form.upright_size):
        raise ValueError(
            f"The boxes are on an image of {size[1]}x{size[0]} pixels, and it has "
            f"{form.size[1]}x{form.size[0]}. Received: {name}"
        )
    if form.has_turned(size):
        return objects
    return dataclasses.replace(objects, boxes=form.turned_boxes(objects.boxes))


def _source(name, encoded, read_objects, found, item_names):
    return DetectionSource(
        name=name,
        size=len(encoded),
        read=lambda index: decode_image(encoded[index]),
        labels=None,
        class_names=found.class_names,
        item_names=item_names,
        read_objects=read_objects,
        read_size=lambda index: stored_form(encoded[index]).upright_size,
        object_counts=np.array([len(boxes) for boxes in found.boxes], np.int64),
        image_ids=tuple(found.image_ids),
        category_ids=found.category_ids,
    )
