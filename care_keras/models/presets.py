"""Trained models by name: those that come with the package, and published ones."""

import dataclasses
import json
import os
import pathlib
from typing import TYPE_CHECKING

from care_keras.weights.published import PUBLISHED, Published

if TYPE_CHECKING:
    import keras

ASSETS = pathlib.Path(__file__).parent.parent / "assets"


@dataclasses.dataclass(frozen=True)
class Preset:
    """A model that has a name.

    Attributes:
        name: Name to load it by.
        quantized: Whether it is a quantized form, for int8, and no training form.
        task: `"classification"` or `"detection"`.
        images: Where images like those that it was trained on come with the package, as
            `open_source` takes it, or `None`.
        published: The checkpoint that it is made of at first use; `None` of a bundled model.
    """

    name: str
    quantized: bool = False
    task: str = "classification"
    images: str | None = "bundled"
    published: Published | None = None

    @property
    def file(self) -> pathlib.Path:
        """Its `.keras` file; of published weights, where it is once they were loaded."""
        return self.published.cached if self.published else ASSETS / f"{self.name}.keras"

    @property
    def card(self) -> pathlib.Path:
        """The JSON beside a bundled one: command line, seed, date, accuracy."""
        return ASSETS / f"{self.name}.json"

    def read_card(self) -> dict:
        return json.loads(self.card.read_text())


BUNDLED = {
    one.name: one
    for one in (
        Preset("care_nano_cifar10"),
        Preset("care_nano_cifar10_qat", quantized=True),
        Preset("care_nano_cifar10_distilled"),
        Preset("care_xs_bccd", task="detection", images="bundled:bccd"),
    )
}

PRESETS = BUNDLED | {
    name: Preset(name, images=None, published=one) for name, one in PUBLISHED.items()
}


def check_name_or_path(name_or_path: str) -> None:
    """Raises ValueError if there is neither a model of that name nor such a file."""
    if name_or_path not in PRESETS and not os.path.exists(name_or_path):
        raise ValueError(
            f"No such model file, nor a model of that name ({', '.join(sorted(PRESETS))}). "
            f"Received: {name_or_path!r}"
        )


def load_preset(name: str) -> "keras.Model":
    """Loads a model by its name, ready for inference.

    Published weights are downloaded at first use, see `care_keras.weights.cache.fetch`.

    Raises:
        ValueError: If there is no such preset, or published weights cannot be had.
        MissingDependencyError: If what reads published weights is not installed.
    """
    if name not in PRESETS:
        raise ValueError(f"`name` must be one of {sorted(PRESETS)}. Received: name={name!r}")
    published = PRESETS[name].published
    if published is not None:
        return _load_published(published)
    import keras

    return keras.models.load_model(PRESETS[name].file, compile=False)


def _load_published(published):
    from care_keras.models.keras_file import load_keras_file
    from care_keras.weights.cache import fetch

    path = fetch(published)
    try:
        return load_keras_file(path)
    except ValueError as error:
        raise ValueError(
            f"The weights of {published.name} in Keras's cache are damaged: remove the file, and "
            f"they are fetched again. Received: {path}"
        ) from error
