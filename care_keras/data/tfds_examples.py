"""Examples of a prepared TFDS data set, all of its images encoded and in memory."""

import contextlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from types import ModuleType

from care_keras.console.optional import MissingDependencyError
from care_keras.files import first_line

# Of the machine's memory: how much encoded images of TFDS may take.
_MEMORY_SHARE = 0.7


def import_tfds() -> ModuleType:
    """`tensorflow_datasets`.

    Raises:
        MissingDependencyError: If it, or TensorFlow, which it reads with, is not installed.
    """
    packages = ("tensorflow", "tensorflow_datasets")
    if None in map(importlib.util.find_spec, packages):
        raise MissingDependencyError(
            "Data sets of TFDS need TensorFlow, which is not installed: "
            "pip install tensorflow tensorflow-datasets, or give a folder"
        )
    import tensorflow_datasets as tfds

    return tfds


def tfds_examples(
    spec: str, split: str, images: Callable[[dict], tuple[str, ...]] = lambda features: ("image",)
) -> tuple[str, dict, Iterator[dict]]:
    """Opens a data set that TFDS finds by `TFDS_DATA_DIR` or in its default folder.

    Args:
        spec: `tfds:NAME[:SPLIT]`.
        split: Split to open where `spec` names none.
        images: From the features to the names of those that stay encoded: decoding
            is left to `decode_image`, the same for all sources.

    Returns:
        `(name, features, examples)`: the name with its split, the features by
        name, and the examples of one split in their order, an iterator. An
        example's `"name"` is its id, or its place in the split.

    Raises:
        ValueError: If there is no such data set, or it does not fit into memory.
        MissingDependencyError: If TensorFlow is not installed.
    """
    tfds = import_tfds()

    name, _, named_split = spec.removeprefix("tfds:").partition(":")
    split = named_split or split
    if not name:
        raise ValueError("Name the data set: tfds:NAME[:SPLIT]. Received: 'tfds:'")
    with _tfds_errors(name, split):
        # TFDS reads the variable once, when something first imports it; this reads it now.
        builder = tfds.builder(name, data_dir=os.environ.get("TFDS_DATA_DIR"))
        size = builder.info.splits[split].num_bytes
    _check_memory(size, f"tfds:{name}:{split}")
    features = dict(builder.info.features.items())
    with _tfds_errors(name, split):
        encoded = {key: tfds.decode.SkipDecoding() for key in images(features) if features[key]}
    return f"tfds:{name}:{split}", features, _examples(builder, name, split, encoded)


def _examples(builder, name, split, encoded) -> Iterator[dict]:
    tfds = import_tfds()
    with _tfds_errors(name, split):
        dataset = builder.as_dataset(split=split, decoders=encoded, shuffle_files=False)
        for place, example in enumerate(tfds.as_numpy(dataset)):
            key = example.get("id")
            yield example | {"name": f"{split}[{place}]" if key is None else str(key, "utf-8")}


@contextlib.contextmanager
def _tfds_errors(name, split):
    """Makes TFDS's errors one line."""
    try:
        yield
    # It raises from many hierarchies (DatasetNotFoundError, AssertionError, ...).
    except Exception as error:
        raise ValueError(
            f"Cannot open {name!r}, split {split!r}, with TFDS: {first_line(error)} "
            f"(`tfds build {name}` prepares it, where TFDS_DATA_DIR says; it must have images)"
        ) from error


def _check_memory(size, spec):
    """Raises ValueError if that many bytes are too much to hold.

    TFDS's files can only be read in their order: for access in any order the
    encoded images are kept in memory.
    """
    memory = machine_memory()
    if size > _MEMORY_SHARE * memory:
        raise ValueError(
            f"{size / 1e9:.0f} GB of encoded images do not fit into {memory / 1e9:.0f} GB of "
            f"memory; a folder of images needs none. Received: {spec!r}"
        )


def machine_memory() -> float:
    """Bytes of this machine's memory; infinite where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return float("inf")
