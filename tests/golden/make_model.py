"""Writes a CARE model with the weights of `weights_rule`: `make_model.py s0 s0.keras [PHOTOS]`.

For checks that need a whole S0, S1 or S2 and no trained one: its activations
have the scale that the rule gives them, whatever the machine. That is a scale that no
training leaves, of up to 10^4 at the end; with PHOTOS, images as `--data` takes them, each
batch normalization has the statistics of what reaches it on 16 of them, as a trained one has.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import keras  # noqa: E402
import weights_rule  # noqa: E402  (it lies in this folder, which is no package)

from care_keras.convert.images import read_pixels  # noqa: E402
from care_keras.data.preprocessing import normalize  # noqa: E402
from care_keras.data.sources import open_source  # noqa: E402
from care_keras.models import CONFIGS, build_model  # noqa: E402
from care_keras.weights import import_weights  # noqa: E402

_PHOTOS = 16


def main(arch: str, path: str, photos: str | None = None) -> None:
    """Writes the model `arch` to `path`."""
    model = build_model(CONFIGS[arch], classifier_activation=None)
    import_weights(model, weights_rule.make_state_dict(weights_rule.state_dict_shapes(arch)))
    if photos:
        take_statistics(model, photos)
    model.save(path)


def take_statistics(model: keras.Model, photos: str) -> None:
    """Sets the statistics of all batch normalizations to those of photos."""
    source = open_source(photos, "test").sample(_PHOTOS, 1)
    pixels, _ = read_pixels(source, model.preprocessing, "reading photos")
    layers = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    momentum = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    model(normalize(pixels, model.preprocessing), training=True)
    for layer, value in zip(layers, momentum, strict=True):
        layer.momentum = value


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in ("s0", "s1", "s2"):
        sys.exit("usage: make_model.py s0|s1|s2 MODEL.keras [PHOTOS]")
    main(*sys.argv[1:])
