"""Images with a class for each pixel: from folders of images and label PNGs, or from TFDS."""

import dataclasses
import io
import os
import pathlib
from collections.abc import Callable
from typing import Self

import numpy as np
from PIL import Image

from care_keras.console.progress import progress
from care_keras.data.preprocessing import decode_image
from care_keras.data.sources import IMAGE_SUFFIXES, Source
from care_keras.data.splits import KNOWN, NoSuchSplitError, choose_split
from care_keras.data.tfds_examples import import_tfds, tfds_examples
from care_keras.data.upright import stored_form

# What no class is said of.
VOID = 255
_LABEL_FOLDERS = ("labels", "annotations", "masks")
# Kinds that keep numbers as they are.
_LABEL_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")
_CLASSES = "classes.txt"
_MAX_CLASSES = 254
# Greys of few bits, which Pillow stretches to 0 to 255: how far apart neighbours then are.
_GREY_STEPS = {"L;4": 17, "L;2": 85}


@dataclasses.dataclass(frozen=True)
class SegmentationSource(Source):
    """Random access to images and maps of their classes; see `Source`.

    It has no `labels`. Where EXIF turns an image its map turns with it; a map that
    has the upright image's size stays.

    Attributes:
        read_mask: `read_mask(index)` gives a map, or raises ValueError if it is
            none or does not fit the image.
    """

    read_mask: Callable[[int], np.ndarray]

    def mask(self, index: int) -> np.ndarray:
        """uint8 `(height, width)`: the class of each pixel of an image, 255 where none is said."""
        return self.read_mask(index)

    def take(self, indices, name: str | None = None) -> Self:
        indices = np.asarray(indices, np.int64)
        return dataclasses.replace(
            super().take(indices, name), read_mask=lambda i: self.read_mask(int(indices[i]))
        )


def open_segmentation(spec: str, split: str = "test", first_class: int = 0) -> SegmentationSource:
    """Opens images with maps of classes.

    Args:
        spec: `tfds:NAME[:SPLIT]` for a prepared TFDS data set with one label image
            for each image, else a folder with `images/` and `labels/` (or
            `annotations/`, `masks/`): label images of one channel or a palette,
            named as their images are. `train.txt` lists the images of a split, or
            both folders have a subfolder for it, or nothing is divided. The names
            of the classes are lines of `classes.txt`; without it the classes are
            the values in the label images.
        split: Split to open. `val`, `valid` and `validation` are one, and serve as
            `test` where there is none.
        first_class: Value of the first class in the label images; smaller values,
            and 255, are no class.

    Raises:
        ValueError: If there is no such data, or it cannot be used.
    """
    if not 0 <= first_class < VOID:
        raise ValueError(f"`first_class` must be from 0 to 254. Received: {first_class}")
    if spec.startswith("tfds:"):
        return _open_tfds(spec, split, first_class)
    folder = pathlib.Path(spec)
    if not spec or not (folder / "images").is_dir():
        raise ValueError(f"No such folder with images/ in it. Received: {spec!r}")
    try:
        return _open_folder(folder, split, first_class)
    except OSError as error:
        raise ValueError(f"Cannot read the folder: {error.strerror}. Received: {spec!r}") from error


def _open_folder(folder, split, first_class):
    labels = next((folder / name for name in _LABEL_FOLDERS if (folder / name).is_dir()), None)
    if labels is None:
        raise ValueError(
            f"There are no label images in {' or '.join(f'{name}/' for name in _LABEL_FOLDERS)}. "
            f"Received: {os.fspath(folder)!r}"
        )
    names = _class_names(folder / _CLASSES)
    images, name = _images_of(folder, split)
    masks = [_mask_of(path, folder / "images", labels) for path in images]
    if names is None:
        every = sorted(path for path in labels.rglob("*") if _is_label(path.relative_to(labels)))
        names = _named_by_value(every, first_class, f"classes of {labels}")
    return _source(name, images, masks, names, tuple(map(os.fspath, images)), first_class)


def _class_names(path):
    if not path.is_file():
        return None
    try:
        names = tuple(path.read_text(encoding="utf-8-sig").strip().split("\n"))
    except UnicodeDecodeError as error:
        raise ValueError(f"Not a list of classes in UTF-8. Received: {path}") from error
    names = tuple(name.strip() for name in names)
    if not all(names) or len(names) > _MAX_CLASSES:
        raise ValueError(
            f"Each line must name a class, of at most {_MAX_CLASSES}. "
            f"Received: {path} with {len(names)} lines, {names.count('')} of them empty"
        )
    return names


def _images_of(folder, split):
    """The images of a split, and what they are for people."""
    images = folder / "images"
    lists = {path.stem: path for path in sorted(folder.glob("*.txt")) if path.name != _CLASSES}
    parts = {path.name: path for path in sorted(images.iterdir()) if _has_images(path)}
    name = choose_split([*lists, *parts], split)
    if name in lists:
        return _listed(lists[name], images), os.fspath(lists[name])
    if name is None:
        divided = [known for known in (*lists, *parts) if known in KNOWN] or list(parts)
        if divided:
            raise NoSuchSplitError(divided, split, os.fspath(folder))
    found = _images_in(images if name is None else parts[name])
    if not found:
        raise ValueError(f"No image in the folder. Received: {os.fspath(images)!r}")
    return found, os.fspath(folder if name is None else parts[name])


def _has_images(path):
    return path.is_dir() and not path.name.startswith(".") and bool(_images_in(path))


def _images_in(folder):
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )


def _listed(path, images):
    """Images by the lines of a list: file names, with their suffix or without."""
    by_name = {}
    for image in _images_in(images):
        by_name[image.name] = by_name[image.stem] = image
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"Not a list of images in UTF-8. Received: {path}") from error
    missing = next((line for line in lines if line and line not in by_name), None)
    if missing is not None:
        raise ValueError(f"There is no image {missing[:80]!r} in {images}. Received: {path}")
    found = [by_name[line] for line in lines if line]
    if not found:
        raise ValueError(f"The list names no image. Received: {path}")
    return found


def _is_label(path):
    """Not what systems add: `._1.png`, `__MACOSX/`."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in _LABEL_SUFFIXES and not hidden


def _mask_of(image, images, labels):
    place = labels / image.relative_to(images)
    for suffix in _LABEL_SUFFIXES:
        for one in (suffix, suffix.upper()):
            path = place.with_name(place.stem + one)
            if path.is_file():
                return path
    raise ValueError(
        f"There is no label image {place.stem}.png in {place.parent}. Received: {os.fspath(image)}"
    )


def _open_tfds(spec, split, first_class):
    name, features, examples = tfds_examples(spec, split, lambda found: ("image", *_maps(found)))
    maps = _maps(features)
    if len(maps) != 1:
        raise ValueError(
            "The data set must have one label image for each image. "
            f"Received: {name!r} with {', '.join(sorted(features))}"
        )
    images, masks, names = [], [], []
    for example in examples:
        images.append(bytes(example["image"]))
        masks.append(bytes(example[maps[0]]))
        names.append(example["name"])
    classes = getattr(features[maps[0]], "names", None)
    # Names are of all values; where the classes begin later, so do theirs.
    classes = tuple(classes)[first_class:] if classes else None
    classes = classes or _named_by_value(masks, first_class, f"classes of {name}")
    return _source(name, images, masks, classes, tuple(names), first_class)


def _maps(features):
    """Features that are images of one channel."""
    tfds = import_tfds()
    return [
        name
        for name, feature in sorted(features.items())
        if name != "image"
        and isinstance(feature, tfds.features.Image)
        and (feature.shape or (0,))[-1] == 1
    ]


def _named_by_value(masks, first_class, what):
    """Names of classes of which nothing but the values are known."""
    largest = -1
    for mask in progress(masks, what):
        values = _decode(mask, mask if isinstance(mask, os.PathLike) else what)
        largest = max(largest, int(values[values != VOID].max(initial=0)))
    if largest < first_class:
        raise ValueError(f"The label images have no class from {first_class} on. Received: {what}")
    return tuple(str(value) for value in range(first_class, largest + 1))


def _source(name, images, masks, class_names, item_names, first_class):
    classes = len(class_names)
    table = np.full(256, VOID, np.uint8)
    table[first_class : first_class + classes] = np.arange(classes)
    known = table != VOID
    known[:first_class] = known[VOID] = True

    def read_mask(index):
        where = masks[index] if isinstance(masks[index], os.PathLike) else item_names[index]
        values = _decode(masks[index], where)
        counts = np.bincount(values.ravel(), minlength=256)
        if counts[~known].any():
            worst = int(np.flatnonzero(counts * ~known)[0])
            raise ValueError(
                f"A label image has the value {worst}, and the {classes} classes are "
                f"{first_class} to {first_class + classes - 1}. Received: {where}"
            )
        return _upright(table[values], stored_form(images[index]), where)

    return SegmentationSource(
        name=name,
        size=len(images),
        read=lambda index: decode_image(images[index]),
        labels=None,
        class_names=class_names,
        item_names=item_names,
        read_mask=read_mask,
    )


def _raw_mode(image):
    """How pixels are packed in a file, as Pillow calls it; the file must not be loaded."""
    arguments = image.tile[0].args if image.tile else None
    return arguments[0] if isinstance(arguments, tuple) else arguments


def _decode(source, where):
    """Values of a label image as they stand in it, uint8 `(height, width)`."""
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with Image.open(stream) as image:
            step = _GREY_STEPS.get(_raw_mode(image))
            mode, values = image.mode, np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"Cannot decode the label image. Received: {where} ({error})") from error
    if step:
        values = values // step
    if values.ndim != 2 or mode == "F":
        raise ValueError(
            "A label image has one channel, the class of each pixel, or a palette of classes; "
            f"this one is of colours. Received: {where} of Pillow's mode {mode}"
        )
    if values.max(initial=0) > VOID or values.min(initial=0) < 0:
        raise ValueError(
            f"A label image has values up to 255, not {values.max()}. Received: {where}"
        )
    return values.astype(np.uint8)


def _upright(mask, form, where):
    """The map as it lies on the upright image."""
    if mask.shape not in (form.size, form.upright_size):
        raise ValueError(
            f"A label image has {mask.shape[1]}x{mask.shape[0]} pixels, and its image "
            f"{form.size[1]}x{form.size[0]}. Received: {where}"
        )
    return mask if form.has_turned(mask.shape) else form.turned_mask(mask)
