"""Trained models that come with the package."""

import dataclasses
import json
import os
import pathlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

ASSETS = pathlib.Path(__file__).parent.parent / "assets"


@dataclasses.dataclass(frozen=True)
class Preset:
    """A bundled model.

    Attributes:
        name: Name to load it by.
        quantized: Whether it is a quantized form, for int8, and no training form.
        task: `"classification"` or `"detection"`.
        images: Where images like those that it was trained on lie, as `open_source`
            takes it.
    """

    name: str
    quantized: bool = False
    task: str = "classification"
    images: str = "bundled"

    @property
    def file(self) -> pathlib.Path:
        """Its `.keras` file."""
        return ASSETS / f"{self.name}.keras"

    @property
    def card(self) -> pathlib.Path:
        """The JSON beside it: command line, seed, date, accuracy."""
        return ASSETS / f"{self.name}.json"

    def read_card(self) -> dict:
        return json.loads(self.card.read_text())


PRESETS = {
    one.name: one
    for one in (
        Preset("care_nano_cifar10"),
        Preset("care_nano_cifar10_qat", quantized=True),
        Preset("care_nano_cifar10_distilled"),
        Preset("care_xs_bccd", task="detection", images="bundled:bccd"),
    )
}


def check_name_or_path(name_or_path: str) -> None:
    """Raises ValueError if there is neither such a bundled model nor such a file."""
    if name_or_path not in PRESETS and not os.path.exists(name_or_path):
        raise ValueError(
            f"No such model file, nor a bundled model ({', '.join(sorted(PRESETS))}). "
            f"Received: {name_or_path!r}"
        )


def load_preset(name: str) -> "keras.Model":
    """Loads a bundled model by name, ready for inference.

    Raises:
        ValueError: If there is no such preset.
    """
    if name not in PRESETS:
        raise ValueError(f"`name` must be one of {sorted(PRESETS)}. Received: name={name!r}")
    import keras

    return keras.models.load_model(PRESETS[name].file, compile=False)
