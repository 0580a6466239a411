"""Annotations in COCO's JSON, of whatever tool: found in a folder, read, checked.

The JSON is data from elsewhere: no name in it leads out of the images' folder.
"""

import collections
import dataclasses
import json
import math
import os
import pathlib
import re
import sys

import numpy as np

from care_keras.data.splits import KNOWN, NoSuchSplitError, choose_split
from care_keras.data.tfds_examples import machine_memory
from care_keras.data.upright import stored_form

# What is not looked at and takes most of the text.
_LEFT_OUT = ("segmentation", "keypoints")
# Memory that reading takes at most, in bytes of the file (seen: 2.4 with outlines, 5.8 without).
_MEMORY_FACTOR = 8
# Annotations that an export puts beside images, or above them.
_ROBOFLOW = "_annotations.coco.json"
_YEAR = re.compile(r"(?<=[a-z])(19|20)\d\d$")
# Images that are looked for to tell which folder they are in.
_LOOKED_FOR = 8


@dataclasses.dataclass(frozen=True)
class Annotations:
    """What a JSON says, in its order of images.

    Attributes:
        paths: Of the images.
        image_ids: Their ids.
        sizes: `(height, width)` in pixels that the boxes are on.
        boxes: For each image float32 `(n, 4)`: ymin, xmin, ymax, xmax in pixels.
        labels: For each image int64 `(n,)`: places in `category_ids`.
        crowd: For each image bool `(n,)`.
        areas: For each image float32 `(n,)`, in pixels: of the objects where the JSON says
            it, else of the boxes.
        category_ids: In order.
        class_names: Likewise.
    """

    paths: list[pathlib.Path]
    image_ids: list
    sizes: list[tuple[int, int]]
    boxes: list[np.ndarray]
    labels: list[np.ndarray]
    crowd: list[np.ndarray]
    areas: list[np.ndarray]
    category_ids: tuple[int, ...]
    class_names: tuple[str, ...]


def find_json(folder: pathlib.Path, split: str) -> tuple[pathlib.Path, str]:
    """The JSON of a split, and the name that the split has there.

    Looked for as `train.json`, `annotations/instances_train2017.json` and
    `train/_annotations.coco.json`. One JSON alone that is named after no split
    has all images, whatever split is asked for.

    Raises:
        ValueError: If there is none.
    """
    found: dict[str, pathlib.Path] = {}
    for path in _candidates(folder):
        name = path.parent.name if path.name == _ROBOFLOW else path.stem
        name = name.removeprefix("instances_")
        found.setdefault(name, path)
        found.setdefault(_YEAR.sub("", name), path)
    if not found:
        raise ValueError(f"No JSON of COCO's format in the folder. Received: {os.fspath(folder)!r}")
    name = choose_split(found, split)
    if name is None:
        if len(set(found.values())) > 1 or any(name in KNOWN for name in found):
            raise NoSuchSplitError(found, split, os.fspath(folder))
        name = next(iter(found))
    path = found[name]
    # The longest, with the year, is what folders are called.
    return path, max((other for other in found if found[other] == path), key=len)


def _candidates(folder):
    inside = sorted(folder.glob("*.json"))
    above = sorted((folder / "annotations").glob("*.json"))
    # Beside them the official files have captions and key points.
    instances = [path for path in above if path.name.startswith("instances_")]
    return [*inside, *(instances or above), *sorted(folder.glob(f"*/{_ROBOFLOW}"))]


def read_annotations(path: pathlib.Path, folder: pathlib.Path, split: str) -> Annotations:
    """Reads a JSON and finds its images.

    Boxes are cut to their image; those of which nothing is left are left out,
    with a warning on stderr.

    Args:
        path: The JSON.
        folder: What lies above it and its images.
        split: What the split is called there.

    Raises:
        ValueError: If it is not COCO's, or an image is missing.
    """
    content = _load(path)
    try:
        return _Reader(path, content).read(folder, split)
    except _BrokenError as error:
        raise ValueError(f"Not COCO's annotations: {error}. Received: {path}") from error


def warn_of_empty(empty: int, boxes: int, where: str | os.PathLike) -> None:
    """Says on stderr how many boxes are of no use, if there are any."""
    if empty:
        print(
            f"warning: {empty} of {boxes} boxes in {where} are left out: they are empty or outside "
            "their image",
            file=sys.stderr,
        )


class _BrokenError(Exception):
    """What is wrong with a JSON."""


def _load(path):
    try:
        size = path.stat().st_size
        if size * _MEMORY_FACTOR > machine_memory():
            raise _BrokenError(f"{size / 1e9:.1f} GB are too much for this machine's memory")
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text, object_hook=_kept, parse_constant=_no_number)
    except OSError as error:
        raise ValueError(f"Cannot read it: {error.strerror}. Received: {path}") from error
    except (ValueError, RecursionError, MemoryError, _BrokenError) as error:
        what = str(error) or type(error).__name__
        raise ValueError(f"Not COCO's annotations: {what}. Received: {path}") from error


def _kept(found):
    for key in _LEFT_OUT:
        found.pop(key, None)
    return found


def _no_number(text):
    return math.nan


class _Reader:
    """One JSON's content, looked at part by part."""

    def __init__(self, path, content):
        self.path = path
        if not isinstance(content, dict):
            raise _BrokenError("it holds no object with images, annotations and categories")
        self.images, self.annotations, self.categories = (
            self._records(content, name) for name in ("images", "annotations", "categories")
        )

    def read(self, folder, split) -> Annotations:
        category_ids, class_names = self._classes()
        image_ids = [_identity(one, "id", "an image") for one in self.images]
        _once(image_ids, "images")
        paths = self._paths(folder, split)
        sizes = [self._size(one, path) for one, path in zip(self.images, paths, strict=True)]
        rows = self._rows({key: place for place, key in enumerate(image_ids)}, category_ids)
        return Annotations(
            paths, image_ids, sizes, *_by_image(rows, sizes, self.path), category_ids, class_names
        )

    def _records(self, content, name):
        found = content.get(name)
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise _BrokenError(f"it has no list of {name}")
        if not found and name != "annotations":
            raise _BrokenError(f"its list of {name} is empty")
        return found

    def _classes(self):
        ids = [_identity(one, "id", "a category", int) for one in self.categories]
        _once(ids, "categories")
        names = [one.get("name") for one in self.categories]
        for key, name in zip(ids, names, strict=True):
            if not isinstance(name, str):
                raise _BrokenError(f"category {key} has no name")
        order = np.argsort(np.asarray(ids), kind="stable")
        return tuple(ids[place] for place in order), tuple(names[place] for place in order)

    def _paths(self, folder, split):
        names = [self._file_name(one) for one in self.images]
        beside = self.path.parent
        above = [beside, folder, folder / "images"]
        folders = [beside / "images", *above, *(place / split for place in above)]
        # Where most of the first images are; one that is missing there is named.
        seen = [sum((place / name).is_file() for name in names[:_LOOKED_FOR]) for place in folders]
        images = folders[int(np.argmax(seen))]
        paths = [images / name for name in names]
        for path in paths:
            if not path.is_file():
                raise _BrokenError(f"there is no image {os.fspath(path)!r}")
        return paths

    def _file_name(self, image):
        name = image.get("file_name")
        if not isinstance(name, str) or not name:
            raise _BrokenError(f"image {image['id']!r} has no file_name")
        parts = name.replace("\\", "/")
        windows = pathlib.PureWindowsPath(name)
        if windows.drive or windows.root or ".." in parts.split("/"):
            raise _BrokenError(
                f"an image's file_name must lie in their folder, and {name!r} does not"
            )
        return parts

    def _size(self, image, path):
        size = image.get("height"), image.get("width")
        if size == (None, None):
            return stored_form(path).size
        if not all(isinstance(side, int | float) and 0 < side < 1e6 for side in size):
            raise _BrokenError(f"image {image['id']!r} is {size[1]!r} wide and {size[0]!r} high")
        return int(size[0]), int(size[1])

    def _rows(self, image_places, category_ids):
        """float64 `(annotations, 8)`: image, class, x, y, width, height, area, crowd."""
        places = {key: place for place, key in enumerate(category_ids)}
        rows = np.empty((len(self.annotations), 8))
        for row, one in zip(rows, self.annotations, strict=True):
            image = _identity(one, "image_id", "an annotation")
            category = _identity(one, "category_id", "an annotation")
            for key, known, what in (
                (image, image_places, "image"),
                (category, places, "category"),
            ):
                if key not in known:
                    raise _BrokenError(f"an annotation is of {what} {key!r}, which is not listed")
            box, area = one.get("bbox"), one.get("area")
            try:
                x, y, width, height = map(float, box)
                area = width * height if area is None else float(area)
                crowd = bool(one.get("iscrowd") or 0)
            except (TypeError, ValueError, OverflowError):
                raise _BrokenError(
                    f"annotation {one.get('id')!r} has no bbox of four numbers, or no area: "
                    f"{str(box)[:60]}, {str(area)[:20]}"
                ) from None
            row[:] = image_places[image], places[category], x, y, width, height, area, crowd
        return rows


def _identity(record, key, what, kinds=(int, str)):
    found = record.get(key)
    if not isinstance(found, kinds) or (isinstance(found, int) and abs(found) >= 2**63):
        raise _BrokenError(f"{what} has no {key}, but {str(found)[:40]!r}")
    return found


def _once(ids, what):
    key, count = collections.Counter(ids).most_common(1)[0]
    if count > 1:
        raise _BrokenError(f"{count} {what} have the id {key!r}")


def _by_image(rows, sizes, path):
    """Lists of boxes, labels, crowd and areas, one entry for each image."""
    sides = np.asarray(sizes, np.float64)[rows[:, 0].astype(int)]
    with np.errstate(invalid="ignore"):
        corners = rows[:, [3, 2, 3, 2]]
        corners[:, 2:] += rows[:, [5, 4]]
        corners = np.clip(corners, 0.0, np.tile(sides, 2))
        # NaN is no box either.
        real = np.all(corners[:, 2:] > corners[:, :2], axis=1) & np.isfinite(rows).all(axis=1)
    warn_of_empty(len(rows) - int(real.sum()), len(rows), path)
    # In the JSON's order within an image, wherever in it they stand.
    order = np.argsort(rows[:, 0], kind="stable")
    order = order[real[order]]
    ends = np.searchsorted(rows[order, 0], np.arange(1, len(sizes)))
    columns = (
        corners.astype(np.float32),
        rows[:, 1].astype(np.int64),
        rows[:, 7].astype(bool),
        rows[:, 6].astype(np.float32),
    )
    return [np.split(column[order], ends) for column in columns]
