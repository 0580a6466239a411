"""Layers that do nothing, layers and models called twice, and several inputs and outputs."""

import inspect

import keras
import numpy as np
import pytest
from keras import layers, ops

from care_keras.deploy import fuse
from care_keras.deploy.keras_layers import nothing
from care_keras.emit.network import emit_tflite
from care_keras.litert.file import LiteRTFile
from tests.care_keras.deploy.keras_layers.harness import (
    SIZE,
    LayerCase,
    all_checks,
    arrays_of,
    randomize,
    run,
)
from tests.care_keras.helpers import numpy_of


def training_only(x):
    """What does something in training alone, around a convolution."""
    x = layers.RandomRotation(0.1)(layers.RandomFlip()(x))
    x = layers.GaussianNoise(0.1)(x)
    x = layers.Conv2D(4, 3)(x)
    x = layers.SpatialDropout2D(0.5)(layers.BatchNormalization()(x))
    x = layers.Activation("linear")(layers.ActivityRegularization(0.1)(x))
    return layers.Dropout(0.5)(layers.Identity()(layers.ReLU()(x)))


def called_twice(x):
    x = layers.Conv2D(4, 1)(x)
    conv, norm = layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization()
    return norm(conv(layers.ReLU()(norm(conv(x)))))


def block(name="block"):
    x = keras.Input((None, None, 3))
    y = layers.Conv2D(3, 3, padding="same", name="conv")(x)
    y = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(y))
    return keras.Model(x, layers.Add(name="sum")([x, y]), name=name)


def nested(x):
    return block("second")(block("first")(x))


def nested_twice(x):
    model = block()
    return layers.Concatenate()([model(x), model(layers.MaxPooling2D(1)(x))])


def sequential(x):
    inner = keras.Sequential([layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU()])
    return layers.Conv2D(3, 1)(inner(x))


def two_outputs(x):
    x = layers.Conv2D(4, 3, name="features")(x)
    return [x, layers.ReLU(name="activated")(x)]


def pyramid(x):
    low = layers.Conv2D(4, 3, padding="same", name="low")(x)
    high = layers.Conv2D(4, 3, 2, padding="same", name="high")(low)
    return {"P2": layers.ReLU(name="low_relu")(low), "P1": [high, layers.ReLU(name="last")(high)]}


def by_name(x):
    low = layers.Conv2D(4, 3, padding="same", name="low")(x)
    return {"b": layers.ReLU(name="low_relu")(low), "a": low}


def mobile_block(x):
    """MobileNetV3's, hard swish by `keras.ops`."""

    def hard_swish(x):
        return x * ops.relu6(x + 3.0) * (1.0 / 6.0)

    x = layers.Conv2D(4, 3, 2, padding="same", use_bias=False)(x)
    x = hard_swish(layers.BatchNormalization()(x))
    y = hard_swish(layers.BatchNormalization()(layers.Conv2D(16, 1, use_bias=False)(x)))
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(y)
    y = hard_swish(layers.BatchNormalization()(y))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
    gate = layers.Conv2D(16, 1)(layers.Conv2D(4, 1, activation="relu")(gate))
    y = y * (ops.relu6(gate + 3.0) / 6.0)
    y = layers.BatchNormalization()(layers.Conv2D(4, 1, use_bias=False)(y))
    return layers.Add()([x, y])


CASES = {
    "training only": LayerCase(training_only),
    "layers called twice": LayerCase(called_twice),
    "models within": LayerCase(nested),
    "a model called twice": LayerCase(nested_twice),
    "a sequential model within": LayerCase(sequential),
    "two outputs": LayerCase(two_outputs),
    "a dict of outputs": LayerCase(by_name),
    "hard swish by keras.ops": LayerCase(mobile_block, size=(12, 16), snr=18.0),
}


@all_checks(CASES)
def test_structure(case, check):
    check(case)


@pytest.mark.parametrize("kind", sorted(nothing._LAYERS, key=lambda kind: kind.__name__))
def test_a_layer_that_does_nothing(kind):
    """Of all that the lowering takes for such a layer."""
    needed = {"factor": 0.5, "rate": 0.5, "stddev": 0.5, "max_zoom": 0.1, "value_range": (0, 255)}
    needed |= {"height_factor": 0.5, "width_factor": 0.5}
    parameters = inspect.signature(kind.__init__).parameters.values()
    given = {x.name: needed[x.name] for x in parameters if _is_needed(x) and x.name != "self"}
    layer = kind(**given)
    x = np.random.default_rng(0).uniform(0.0, 255.0, (2, 4, 6, 3)).astype("float32")
    x = x[:, 0, :, :] if kind.__name__.endswith("1D") else x
    x = np.stack([x] * 3, axis=1) if kind.__name__.endswith("3D") else x
    np.testing.assert_array_equal(numpy_of(layer(x, training=False)), x)


def _is_needed(parameter):
    variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not variable


def two_images():
    first, second = keras.Input((6, 8, 3), name="first"), keras.Input((3, 4, 2), name="second")
    x = layers.UpSampling2D(2)(layers.Conv2D(4, 1)(second))
    return first, second, layers.Add()([layers.Conv2D(4, 1)(first), x])


def _images(tensor, dtype="float32"):
    shape = (2, *tensor.shape[1:])
    return np.random.default_rng(1).uniform(0.0, 2.0, shape).astype(dtype)


@pytest.mark.parametrize("structure", ["list", "dict"])
def test_several_inputs(structure):
    first, second, outputs = two_images()
    given = [first, second] if structure == "list" else {"second": second, "first": first}
    model = keras.Model(given, {"y": outputs, "x": [layers.ReLU()(outputs)]})
    randomize(model)
    deployed = fuse(model)
    assert deployed.foreign_reasons == {}
    inputs = keras.tree.map_structure(_images, given)
    actual, expected = run(deployed, inputs), run(model, inputs)
    keras.tree.assert_same_structure(actual, expected)
    for one, other in zip(arrays_of(actual), arrays_of(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_file_of_several_inputs():
    first, second, outputs = two_images()
    model = keras.Model([first, second], outputs)
    randomize(model)
    images = [_images(x) for x in (first, second)]
    file = LiteRTFile(emit_tflite(fuse(model), SIZE, batch=2))
    (actual,) = file.run(dict(zip(("first", "second"), images, strict=True))).values()
    np.testing.assert_allclose(actual, numpy_of(run(model, images)), atol=1e-5)


def test_a_structure_of_outputs():
    x = keras.Input((*SIZE, 3))
    model = keras.Model(x, pyramid(x))
    randomize(model)
    images, deployed = _images(x), fuse(model)
    actual, expected = run(deployed, images), run(model, images)
    keras.tree.assert_same_structure(actual, expected)
    for one, other in zip(arrays_of(actual), arrays_of(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    file = LiteRTFile(emit_tflite(deployed, SIZE, batch=2)).run(images)
    low, high, last = (file[name] for name in ("low_relu", "high", "last"))
    for one, other in zip((high, last, low), arrays_of(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_sequential_model():
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    randomize(model)
    deployed = fuse(model)
    assert deployed.foreign_reasons == {}
    images = _images(model.inputs[0])
    expected = numpy_of(run(model, images))
    np.testing.assert_allclose(numpy_of(run(deployed, images)), expected, atol=1e-5)
    file = LiteRTFile(emit_tflite(deployed, (28, 28), batch=2))
    np.testing.assert_allclose(file.run(images)["outputs"], expected, atol=1e-5)


@pytest.mark.parametrize("policy", ["float16", "mixed_float16", "bfloat16", "mixed_bfloat16"])
def test_half_precision_is_computed_in_float32(policy):
    def make():
        keras.utils.set_random_seed(1)
        x = keras.Input((*SIZE, 3))
        y = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(x))
        y = ops.tanh(layers.LayerNormalization()(y)) * 0.5
        return keras.Model(x, layers.Dense(3)(layers.GlobalAveragePooling2D()(y)))

    exact = make()
    keras.config.set_dtype_policy(policy)
    model = make()
    for weight, value in zip(model.weights, exact.weights, strict=True):
        weight.assign(value)
    deployed = fuse(model)
    assert deployed.foreign_reasons == {}
    assert {weight.dtype for weight in deployed.weights} == {"float32"}
    images = _images(model.inputs[0])
    actual = run(deployed, images)
    assert keras.backend.standardize_dtype(actual.dtype) == "float32"
    np.testing.assert_allclose(numpy_of(actual), numpy_of(run(exact, images)), atol=0.02)


def test_pixels_of_uint8():
    x = keras.Input((*SIZE, 3), dtype="uint8")
    y = layers.Conv2D(4, 3)(layers.Rescaling(1 / 127.5, -1.0)(x))
    model = keras.Model(x, layers.ReLU()(y))
    randomize(model)
    deployed = fuse(model)
    assert deployed.foreign_reasons == {}
    images = np.random.default_rng(1).integers(0, 256, (2, *SIZE, 3)).astype("uint8")
    actual = run(deployed, images.astype("float32"))
    np.testing.assert_allclose(numpy_of(actual), numpy_of(run(model, images)), atol=1e-5)
