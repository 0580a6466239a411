"""Labelled images from a folder, from TFDS, or from the bundled sample.

`open_source` is the one place where the flag value `DIR`,
`tfds:NAME[:SPLIT]` or `bundled[:SPLIT]` becomes images.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable

import numpy as np

from care_keras.data.preprocessing import decode_image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
BUNDLED_SAMPLE = pathlib.Path(__file__).parent.parent / "assets" / "cifar10_sample.npz"


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

    def take(self, indices, name: str | None = None) -> "Source":
        """The images at `indices`, in that order."""
        indices = np.asarray(indices, np.int64)
        return Source(
            name or self.name,
            len(indices),
            lambda i: self.read(int(indices[i])),
            None if self.labels is None else self.labels[indices],
            self.class_names,
            tuple(self.item_names[i] for i in indices),
        )

    def sample(self, count: int, seed: int = 0) -> "Source":
        """At most `count` images, drawn without replacement; all where there are fewer."""
        if count >= self.size:
            return self
        order = np.random.default_rng(seed).permutation(self.size)[:count]
        return self.take(np.sort(order))


def open_source(spec: str, split: str = "test") -> Source:
    """Opens labelled images.

    Args:
        spec: `bundled[:SPLIT]` for the CIFAR-10 sample in the package,
            `tfds:NAME[:SPLIT]` for a prepared TFDS data set (found by
            `TFDS_DATA_DIR` or in TFDS's default folder), else a folder: images
            in one subfolder per class, or unlabelled images directly in it.
        split: Split to open where `spec` names none; a folder with subfolders
            `train`, `test` or `val` of class folders is entered likewise.

    Returns:
        A `Source`.

    Raises:
        ValueError: If there is no such data, split or image.
    """
    kind, _, rest = spec.partition(":")
    if kind == "bundled":
        return _open_bundled(rest or split)
    if kind == "tfds":
        name, _, named_split = rest.partition(":")
        return _open_tfds(name, named_split or split)
    return _open_folder(pathlib.Path(spec), split)


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
    return Source(
        f"bundled:{split}",
        len(labels),
        lambda i: decode_image(data[offsets[i] : offsets[i + 1]]),
        labels,
        class_names,
        item_names,
    )


def _open_tfds(name: str, split: str) -> Source:
    import tensorflow_datasets as tfds

    if not name:
        raise ValueError("Name the data set: tfds:NAME[:SPLIT]. Received: 'tfds:'")
    try:
        builder = tfds.builder(name)
        # Encoded images: decoding is left to `decode_image`, the same for all sources.
        dataset = builder.as_dataset(
            split=split, decoders={"image": tfds.decode.SkipDecoding()}, shuffle_files=False
        )
    # TFDS raises from many hierarchies (DatasetNotFoundError, AssertionError, ...).
    except Exception as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ValueError(
            f"Cannot open {name!r}, split {split!r}, with TFDS: {first_line} "
            "(is it prepared under TFDS_DATA_DIR?)"
        ) from error
    images, labels, names = [], [], []
    for i, example in enumerate(tfds.as_numpy(dataset)):
        if "image" not in example:
            raise ValueError(f"The data set has no feature 'image'. Received: tfds:{name}")
        images.append(bytes(example["image"]))
        labels.append(example.get("label", -1))
        names.append(example["id"].decode() if "id" in example else f"{split}[{i}]")
    labelled = "label" in builder.info.features
    return Source(
        f"tfds:{name}:{split}",
        len(images),
        lambda i: decode_image(images[i]),
        np.asarray(labels, np.int64) if labelled else None,
        tuple(builder.info.features["label"].names) if labelled else None,
        tuple(names),
    )


def _open_folder(folder: pathlib.Path, split: str) -> Source:
    if not folder.is_dir():
        raise ValueError(f"No such folder of images. Received: {os.fspath(folder)!r}")
    if not _class_folders(folder) and not _images_in(folder):
        raise ValueError(
            f"No image ({', '.join(IMAGE_SUFFIXES)}) in the folder. Received: {os.fspath(folder)!r}"
        )
    split_folders = (split, "val", "validation") if split == "test" else (split,)
    for name in split_folders:
        if _class_folders(folder / name):
            folder = folder / name
            break
    class_folders = _class_folders(folder)
    if not class_folders:
        paths, labels, class_names = _images_in(folder), None, None
    else:
        class_names = tuple(path.name for path in class_folders)
        paths, labels = [], []
        for index, class_folder in enumerate(class_folders):
            found = _images_in(class_folder)
            paths += found
            labels += [index] * len(found)
        labels = np.asarray(labels, np.int64)
    return Source(
        os.fspath(folder),
        len(paths),
        lambda i: decode_image(paths[i]),
        labels,
        class_names,
        tuple(os.fspath(path) for path in paths),
    )


def _images_in(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def _class_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and _has_images(path))


def _has_images(folder: pathlib.Path) -> bool:
    return any(
        path.suffix.lower() in IMAGE_SUFFIXES or (path.is_dir() and _has_images(path))
        for path in folder.iterdir()
    )
