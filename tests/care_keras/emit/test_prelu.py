"""PReLU in float files: one operator, where a deploy form has four for integers' sake."""

import keras
import numpy as np
import pytest
from keras import layers

from care_keras.convert.conversion import convert_model
from care_keras.deploy import fuse
from care_keras.emit.network import emit_tflite
from care_keras.litert.file import LiteRTFile
from tests.care_keras.emit.test_exact_rewrites import names

SIZE = (6, 8)


def network(behind):
    """A convolution of photos of 6x8, and what is behind it, with slopes of any sign."""
    keras.utils.set_random_seed(0)
    images = keras.Input((*SIZE, 3), name="images")
    model = keras.Model(images, behind(layers.Conv2D(8, 3)(images)))
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.PReLU):
            layer.set_weights([generator.normal(size=layer.alpha.shape)])
    return model


def of_channels(x):
    return layers.PReLU(shared_axes=[1, 2], name="prelu")(x)


def check_outputs(model, content):
    images = np.random.default_rng(1).normal(size=(4, *SIZE, 3)).astype(np.float32)
    expected = keras.tree.flatten(model.predict(images, verbose=0))
    file = LiteRTFile(content)
    for number, image in enumerate(images):
        for found, one in zip(file.run(image[None]).values(), expected, strict=True):
            np.testing.assert_allclose(found[0], one[number], atol=1e-5)


def test_one_operator():
    model = network(of_channels)
    content = emit_tflite(fuse(model), SIZE)
    assert names(content) == ["CONV_2D", "PRELU"]
    check_outputs(model, content)


def test_half_precision_weights():
    model = network(of_channels)
    content = emit_tflite(fuse(model), SIZE, weights="float16")
    assert [name for name in names(content) if name != "DEQUANTIZE"] == ["CONV_2D", "PRELU"]


@pytest.mark.parametrize(
    "behind",
    [
        # A slope for each pixel, which XNNPACK's PRELU does not take.
        layers.PReLU(name="prelu"),
        # Another offset, another activation, another tensor.
        lambda x: layers.Add()([layers.ReLU()(x), layers.DepthwiseConv2D(1)(-layers.ReLU()(-x))]),
        lambda x: layers.ReLU()(of_channels(x)),
        lambda x: layers.Add()([layers.ReLU()(x), layers.ReLU()(x * 2.0)]),
    ],
)
def test_what_is_like_it(behind):
    model = network(behind)
    check_outputs(model, emit_tflite(fuse(model), SIZE))


def test_what_else_reads_a_part_of_it_is_given_it():
    model = network(lambda x: [of_channels(x), layers.ReLU()(x)])
    content = emit_tflite(fuse(model), SIZE)
    assert {"PRELU", "RELU"} <= set(names(content))
    check_outputs(model, content)


def test_integers_have_it_in_parts():
    model = network(of_channels)
    images = np.random.default_rng(1).integers(0, 256, (8, *SIZE, 3), np.uint8)
    content = convert_model(model, None, "int8", calibration=images.astype(np.float32)).content
    assert "PRELU" not in names(content)
