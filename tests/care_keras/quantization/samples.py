"""One tiny model in all its forms, photos of its size, and a view of its graph."""

import dataclasses
import functools

import numpy as np

from care_keras import primitives as p
from care_keras.data.preprocessing import normalize, resize_and_crop
from care_keras.data.sources import open_source
from care_keras.deploy import fuse
from care_keras.graph import inputs_of, unfold
from care_keras.primitives.int8 import Output
from care_keras.quantization import FakeQuant, calibrate, int8_ptq, quantize
from tests.care_keras.helpers import TINY, tiny_classifier

# Large enough that every tap of every kernel meets the map of the last stage, 4x6 pixels.
SIZE = (32, 48)
RECORD = dataclasses.replace(TINY.preprocessing, height=SIZE[0], width=SIZE[1])
PRIMITIVES = tuple(vars(p)[name] for name in p.__all__ if name != "Primitive")
# What moves numbers: the output is quantized as the first input is.
KEEPS_VALUES = tuple(
    kind for kind in PRIMITIVES if kind.int8.output is Output.LIKE_INPUT and not kind.int8.left_out
)

# What calibration takes long for, and what changes no graph, type or rule of rounding.
quick_ptq = functools.partial(int8_ptq, refine_attention=False, correct_biases=False)


@functools.cache
def photos(count: int = 24) -> np.ndarray:
    """uint8 (count, 32, 48, 3): bundled photos."""
    source = open_source("bundled", "train")
    return np.stack([resize_and_crop(source[i], RECORD) for i in range(count)])


def pixels(count: int = 24) -> np.ndarray:
    """The same photos as float32 from 0 to 255, which a quantized form takes."""
    return photos(count).astype(np.float32)


def normalized(count: int = 24) -> np.ndarray:
    """The same photos as a deploy form takes them."""
    return normalize(photos(count), RECORD)


@functools.cache
def deploy_form(activation=None):
    """The deploy form of a tiny classifier; not to be changed."""
    model = tiny_classifier(classes=10, preprocessing=RECORD, classifier_activation=activation)
    return fuse(model)


def make_quantized(config=None, activation=None):
    """A calibrated quantized form of it, as `quick_ptq` unless told otherwise."""
    config = config or quick_ptq()
    model = quantize(deploy_form(activation), config)
    calibrate(model, [pixels() if config.raw_pixels else normalized()], config)
    return model


@functools.cache
def quantized_form():
    """The same for tests that do not change it."""
    return make_quantized()


def graph_of(model) -> list[tuple]:
    """`(layer, names of its inputs, name of its output)` in the order they run.

    The output of a range, which is its input rounded, is named `INPUT/rounded`.
    """
    steps = []

    def record(layer, *args, **_):
        sources = inputs_of(args)
        output = f"{sources[0]}/rounded" if isinstance(layer, FakeQuant) else layer.name
        steps.append((layer, sources, output))
        return output

    unfold(model).run([tensor.name for tensor in model.inputs], record)
    return steps


def parameters_of(model) -> dict[str, tuple]:
    """`(scale, zero_point)` of each tensor of a quantized form, by name."""
    found = {}
    for layer, sources, output in graph_of(model):
        if isinstance(layer, FakeQuant):
            found[output] = layer.parameters()
        elif layer.keeps_values:
            found[output] = found[sources[0]]
    return found
