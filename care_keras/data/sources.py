"""Labelled images from a folder, from TFDS, or from the bundled sample.

`open_source` is the one place where the flag value `DIR`,
`tfds:NAME[:SPLIT]` or `bundled[:SPLIT]` becomes images.
"""

import dataclasses
import itertools
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Self

import numpy as np

from care_keras.data.preprocessing import decode_image
from care_keras.data.splits import KNOWN, choose_split
from care_keras.data.tfds_examples import import_tfds, tfds_examples

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"),
    *(".pgm", ".ppm"),
)
# Images that Pillow does not open, or not everywhere: who has them is told so.
_OTHER_IMAGES = (
    *(".avif", ".heic", ".heif", ".jp2", ".jxl", ".svg", ".psd"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"),
)
# Names that a message lists, at most.
_SHOWN = 3
_ASSETS = pathlib.Path(__file__).parent.parent / "assets"
BUNDLED_SAMPLE = _ASSETS / "cifar10_sample.npz"
# A few of BCCD's images with boxes, of COCO's format; MIT, see the LICENSE among them.
BCCD_SAMPLE, BUNDLED_BCCD = _ASSETS / "bccd", "bundled:bccd"


@dataclasses.dataclass(frozen=True)
class Source:
    """Random access to labelled images that are decoded when asked for.

    Attributes:
        name: What the images are, for people: `"tfds:cifar10:test"`.
        size: Number of images.
        read: `read(index)` gives a uint8 RGB array `(height, width, 3)`, or
            raises ValueError if that image cannot be decoded.
        labels: int64 array of class indices, or `None` if unlabelled.
        class_names: Names of the classes, or `None`.
        item_names: A name per image (a path, a key), for error messages.
    """

    name: str
    size: int
    read: Callable[[int], np.ndarray]
    labels: np.ndarray | None
    class_names: tuple[str, ...] | None
    item_names: tuple[str, ...]

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> np.ndarray:
        return self.read(index)

    def take(self, indices, name: str | None = None) -> Self:
        """The images at `indices`, in that order."""
        indices = np.asarray(indices, np.int64)
        return dataclasses.replace(
            self,
            name=name or self.name,
            size=len(indices),
            read=lambda i: self.read(int(indices[i])),
            labels=None if self.labels is None else self.labels[indices],
            item_names=tuple(self.item_names[i] for i in indices),
        )

    def sample(self, count: int, seed: int = 0) -> Self:
        """At most `count` images, drawn without replacement; all where there are fewer."""
        if count >= self.size:
            return self
        return self.take(drawn_places(self.size, count, seed))


def drawn_places(total: int, count: int, seed: int) -> np.ndarray:
    """`count` of `total` places, drawn without replacement, in their order."""
    return np.sort(np.random.default_rng(seed).permutation(total)[:count])


def check_source(spec: str) -> None:
    """Raises ValueError if images are named that are not there, as far as a look tells.

    A data set of TFDS is looked at when it is opened.
    """
    if not spec:
        raise ValueError("Name a folder, tfds:NAME or bundled. Received: ''")
    if spec.partition(":")[0] not in ("bundled", "tfds") and not os.path.isdir(spec):
        if os.path.exists(spec):
            raise ValueError(
                "Images are taken from a folder, arrays from an .npz file (numpy.savez). "
                f"Received: {spec!r}"
            )
        raise ValueError(f"No such folder of images. Received: {spec!r}")


def open_source(spec: str, split: str = "test") -> Source:
    """Opens labelled images.

    Args:
        spec: `bundled[:SPLIT]` for the CIFAR-10 sample in the package, `bundled:bccd` for
            its images with boxes, here without them,
            `tfds:NAME[:SPLIT]` for a prepared TFDS data set (found by
            `TFDS_DATA_DIR` or in TFDS's default folder), else a folder: images
            in one subfolder per class, or unlabelled images directly in it.
        split: Split to open where `spec` names none. In a folder it is the
            subfolder of that name, if the subfolders are splits: if they hold
            class folders, or are all called as splits are; see `choose_split`
            for which one is meant.

    Returns:
        A `Source`.

    Raises:
        ValueError: If there is no such data, split or image.
    """
    kind, _, rest = spec.partition(":")
    if spec == BUNDLED_BCCD:
        return dataclasses.replace(_open_folder(BCCD_SAMPLE / "images", split), name=spec)
    if kind == "bundled":
        return _open_bundled(rest or split)
    if kind == "tfds":
        return _open_tfds(spec, split)
    if not spec:
        raise ValueError("Name a folder, tfds:NAME or bundled. Received: ''")
    try:
        return _open_folder(pathlib.Path(spec), split)
    except OSError as error:
        raise ValueError(f"Cannot read the folder: {error.strerror}. Received: {spec!r}") from error


def _open_bundled(split: str) -> Source:
    with np.load(BUNDLED_SAMPLE, allow_pickle=False) as archive:
        splits = tuple(str(name) for name in archive["splits"])
        if split not in splits:
            raise ValueError(f"The bundled sample has the splits {splits}. Received: {split!r}")
        data = archive[f"{split}_bytes"].tobytes()
        offsets = archive[f"{split}_offsets"]
        labels = archive[f"{split}_labels"].astype(np.int64)
        class_names = tuple(str(name) for name in archive["class_names"])
        item_names = tuple(str(name) for name in archive[f"{split}_names"])
    images = [data[start:end] for start, end in itertools.pairwise(offsets)]
    return _source(f"bundled:{split}", images, labels, class_names, item_names)


def _open_tfds(spec: str, split: str) -> Source:
    tfds = import_tfds()
    name, features, examples = tfds_examples(spec, split)
    feature = features.get("label")
    images, labels, names = [], [], []
    for example in examples:
        images.append(bytes(example["image"]))
        labels.append(example.get("label", -1))
        names.append(example["name"])
    # Hidden labels, as test splits may have them, are -1.
    labelled = isinstance(feature, tfds.features.ClassLabel) and min(labels, default=-1) >= 0
    return _source(
        name,
        images,
        np.asarray(labels, np.int64) if labelled else None,
        tuple(feature.names) if labelled else None,
        tuple(names),
    )


def _open_folder(folder: pathlib.Path, split: str) -> Source:
    if not folder.is_dir():
        raise ValueError(f"No such folder of images. Received: {os.fspath(folder)!r}")
    folder = _split_folder(folder, split)
    # Empty ones too: leaving them out would shift the indices of the classes behind them.
    class_folders = _subfolders(folder) if _holding_images(folder) else []
    if class_folders:
        found = [_images_below(path) for path in class_folders]
        paths = [path for of_class in found for path in of_class]
        labels = np.repeat(np.arange(len(found)), [len(of_class) for of_class in found])
        class_names = tuple(path.name for path in class_folders)
        empty = [path.name for path, held in zip(class_folders, found, strict=True) if not held]
        if empty:
            shown = ", ".join(empty[:_SHOWN]) + (", ..." if len(empty) > _SHOWN else "")
            print(
                f"warning: class folders of {folder} without an image, which count as classes "
                f"all the same: {shown}",
                file=sys.stderr,
            )
    else:
        paths, labels, class_names = _images_in(folder), None, None
    left_out = _left_out(folder)
    if not paths:
        kinds = f"{', '.join(IMAGE_SUFFIXES)}" + (f"; not {left_out}" if left_out else "")
        raise ValueError(f"No image ({kinds}) in the folder. Received: {os.fspath(folder)!r}")
    if left_out:
        print(
            f"warning: left out, as images of that kind are not read: {left_out}", file=sys.stderr
        )
    names = tuple(os.fspath(path) for path in paths)
    return _source(os.fspath(folder), names, labels, class_names, names)


def _split_folder(folder: pathlib.Path, split: str) -> pathlib.Path:
    """The subfolder of the split, or `folder` itself where it has no splits."""
    subfolders = _holding_images(folder)
    splits = [path.name for path in subfolders if _holding_images(path)]
    if all(path.name in KNOWN for path in subfolders):
        splits = [path.name for path in subfolders]
    name = choose_split(splits, split)
    if name is not None:
        return folder / name
    if splits and len(splits) == len(subfolders):
        raise ValueError(
            f"The folder has the splits {', '.join(splits)}: open the folder of one of them. "
            f"Received: split={split!r}, folder={os.fspath(folder)!r}"
        )
    return folder


def _source(name, encoded, labels, class_names, item_names):
    """A source of what `decode_image` takes: paths, or encoded bytes."""
    return Source(
        name, len(encoded), lambda i: decode_image(encoded[i]), labels, class_names, item_names
    )


def _subfolders(folder):
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def _holding_images(folder):
    """Its subfolders with images in them, at any depth."""
    return [
        path
        for path in _subfolders(folder)
        if any(True for _ in _iterate_images(path)) or _holding_images(path)
    ]


def _iterate_images(folder):
    # Names with a leading dot are other programs' (macOS's resource forks, for one).
    return (
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    )


def _left_out(folder):
    """Images of other kinds below a folder, for people; empty where there are none."""
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in _OTHER_IMAGES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    names = ", ".join(os.fspath(path.relative_to(folder)) for path in paths[:_SHOWN])
    return names + (f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else "")


def _images_in(folder):
    return sorted(_iterate_images(folder))


def _images_below(folder):
    below = [_images_below(path) for path in _subfolders(folder)]
    return [*_images_in(folder), *itertools.chain.from_iterable(below)]
