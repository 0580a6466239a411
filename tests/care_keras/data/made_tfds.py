"""Tiny TFDS data sets of one's own, prepared in a folder that TFDS then finds."""

import os
import types

import numpy as np


def prepare(monkeypatch, folder, name: str, features: dict, examples: list[dict]) -> str:
    """Writes a data set of one split, `train`, whose examples stay in their order.

    Returns:
        Its `tfds:NAME`.
    """
    import tensorflow_datasets as tfds

    class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")
        # TFDS would look for checksums beside the module.
        url_infos = types.MappingProxyType({})

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
            )

        def _split_generators(self, manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            yield from enumerate(examples)

    Builder.name = name
    Builder(data_dir=os.fspath(folder)).download_and_prepare()
    monkeypatch.setenv("TFDS_DATA_DIR", os.fspath(folder))
    return f"tfds:{name}"


def photo(seed: int, height: int = 20, width: int = 30) -> np.ndarray:
    """uint8 RGB noise."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
