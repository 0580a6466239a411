"""Trained models that come with the package."""

import dataclasses
import json
import pathlib

import keras

ASSETS = pathlib.Path(__file__).parent.parent / "assets"


@dataclasses.dataclass(frozen=True)
class Preset:
    """A bundled model.

    Attributes:
        name: Name to load it by.
        file: Its `.keras` file.
        card: The JSON beside it: command line, seed, date, accuracy.
    """

    name: str
    file: pathlib.Path
    card: pathlib.Path

    def read_card(self) -> dict:
        return json.loads(self.card.read_text())


PRESETS = {
    name: Preset(name, ASSETS / f"{name}.keras", ASSETS / f"{name}.json")
    for name in ("care_nano_cifar10",)
}


def load_preset(name: str) -> keras.Model:
    """Loads a bundled model by name, ready for inference.

    Raises:
        ValueError: If there is no such preset.
    """
    if name not in PRESETS:
        raise ValueError(f"`name` must be one of {sorted(PRESETS)}. Received: name={name!r}")
    return keras.models.load_model(PRESETS[name].file, compile=False)
