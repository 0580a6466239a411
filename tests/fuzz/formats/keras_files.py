"""`.keras` files as `load_any` loads them, and weights alone."""

import functools
import json
import os
import pathlib
import tempfile

from care_keras.loading import load_any
from care_keras.models.keras_file import check_weights_file
from tests.fuzz.formats import Format
from tests.fuzz.mutate import archive, arrays, binary, json_text

_SAVED = pathlib.Path(__file__).parents[2] / "care_keras" / "models" / "saved_before_0_2"
# Names that a config may be given in the place of its own.
_NAMES = ("Lambda", "Switch", "Map", "TFSMLayer", "Dense", "function", "__numpy__", "__tensor__")
_NAMES += ("__keras_tensor__", "__slice__", "Bidirectional", "StringLookup", "Sequential")
_NAMES += ("InputLayer", "RandomFlip", "Reshape", "Embedding", "Normalization", "relu", "get")
_NAMES += ("keras.layers", "keras", "keras.src.ops.numpy", "keras.activations", "builtins", "os")
_NAMES += ("keras.src.models.functional", "../x", "bfloat16", "mixed_float16", "float8_e4m3fn")


@functools.cache
def _models():
    """Small models: plain layers, shared and nested ones, operations, and CARE's own."""
    import keras

    from tests.care_keras.helpers import tiny_classifier

    layers, files = keras.layers, {}
    images = keras.Input((8, 8, 3), name="images")
    x = layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2")(images)
    x = layers.BatchNormalization()(layers.Rescaling(1 / 255)(x))
    outputs = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    files["plain"] = keras.Model(images, outputs)
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, activation="gelu")], name="inner")
    one, two = keras.Input((4,), name="one"), keras.Input((4,), name="two")
    joined = layers.Concatenate()([inner(one), inner(two)])
    files["nested"] = keras.Model([one, two], {"sum": joined + 1.0, "top": keras.ops.max(joined)})
    words = keras.Input((6,), dtype="int32")
    states = layers.Bidirectional(layers.LSTM(3))(layers.Embedding(9, 4)(words))
    files["words"] = keras.Model(words, states)
    files["care"] = tiny_classifier(classes=3)
    saved = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, model in files.items():
            path = os.path.join(folder, f"{name}.keras")
            model.save(path)
            saved[name] = pathlib.Path(path).read_bytes()
    return saved | {"quantized": (_SAVED / "quantized_form.keras").read_bytes()}


def _mutate(rng, content, others):
    return archive.mutate(rng, content, others, _change)


def _change(rng, name, content):
    if name == "config.json":
        tree = json.loads(content)
        if rng.random() < 0.3:
            _rename(rng, tree)
        return json_text.mutate_tree(rng, tree, [tree])
    if name.endswith(".h5"):
        return arrays.mutate_h5(rng, content)
    if name == "metadata.json":
        return json_text.mutate(rng, content, [content])
    return binary.mutate(rng, content, [content])


def _rename(rng, tree):
    """One text in the tree becomes one of `_NAMES`."""
    texts = [place for place in json_text._places([tree]) if isinstance(place[0][place[1]], str)]
    holder, key = rng.choice(texts)
    holder[key] = rng.choice(_NAMES)


def _load(path):
    import keras

    load_any(str(path))
    keras.backend.clear_session()


@functools.cache
def _weights():
    files = {}
    for name, content in _models().items():
        (files[name],) = [inside for member, inside in archive.read(content) if ".h5" in member]
    return files


FORMATS = {
    "keras": Format(".keras", _models, _mutate, _load),
    "weights": Format(
        ".weights.h5",
        _weights,
        lambda rng, content, others: arrays.mutate_h5(rng, content),
        check_weights_file,
        names_file=False,
    ),
}
