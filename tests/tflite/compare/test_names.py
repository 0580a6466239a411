"""Layers and tensors by name: of one network that has all that makes names hard."""

import functools

import keras
import numpy as np
import pytest

from care_keras.console.native_output import captured_native_output
from care_keras.convert.by_tensorflow import convert_by_tensorflow
from care_keras.models import Preprocessing
from care_keras.tflite_file import read_graph
from tflite.compare.graph import call, to_float32, value_shapes
from tflite.compare.names import match
from tflite.compare.unfold import unfold

RECORD = Preprocessing(16, 16, (0.5,) * 3, (0.5,) * 3)


@functools.cache
def network():
    """Default names, of which `conv2d_1` is also a second call of `conv2d` to TensorFlow; a layer
    called twice; a model in a model; activations inside layers; BatchNorm before and behind."""
    # Default names count on from other tests' layers.
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = keras.Input((16, 16, 3))

    def block(x):
        x = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
        return layers.ReLU()(layers.BatchNormalization()(x))

    x = block(inputs)
    x = layers.Add()([x, block(block(x))])
    shared = layers.Conv2D(8, 1, name="shared")
    x = shared(layers.Activation("relu")(shared(x)))
    inner_inputs = keras.Input((16, 16, 8))
    inner = layers.Conv2D(8, 3, activation="silu", name="conv2d_1")(inner_inputs)
    x = keras.Model(inner_inputs, layers.BatchNormalization()(inner), name="inner")(x)
    x = layers.GlobalAveragePooling2D()(layers.LayerNormalization()(x))
    outputs = layers.Dense(5, activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    rng = np.random.default_rng(0)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            size = layer.gamma.shape[0]
            layer.set_weights([rng.uniform(0.5, 1.5, size) for _ in range(4)])
    return model


@functools.cache
def file():
    with captured_native_output():
        return convert_by_tensorflow(network(), RECORD, "float32")


@pytest.fixture(scope="module")
def matching():
    graph, read = unfold(network()), read_graph(file())
    images = np.zeros((1, 16, 16, 3), np.float32)
    tensor_shapes = {
        index: read.tensors[index].shape for op in read.operators for index in op.outputs
    }
    found = match(graph, read, network(), lambda: value_shapes(graph, [images]), tensor_shapes)
    return graph, {one.step.outputs[0]: one for one in found.by_value.values()}


def test_unfolded_steps_give_what_the_model_gives():
    graph = unfold(network())
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)
    values = {0: keras.ops.convert_to_tensor(images)}
    for step in graph.steps:
        values |= dict(zip(step.outputs, call(step, values), strict=True))
    expected = keras.ops.convert_to_numpy(network()(images))
    np.testing.assert_allclose(to_float32(values[graph.outputs[0]]), expected, atol=1e-6)
    names = [step.name for step in graph.steps]
    assert names[-2:] == ["dense (before softmax)", "dense"] and names.count("shared") == 2


def test_an_activation_is_put_back():
    graph = unfold(network())
    linear = next(step for step in graph.steps if step.before_activation)
    layer = linear.operation.layer
    call(linear, {linear.inputs[0]: np.ones((1, 16, 16, 8), np.float32)})
    assert layer.activation is keras.activations.silu


def test_every_layer_that_is_a_tensor_finds_it(matching):
    _, found = matching
    pairs = [(one.step.name, one.operator.name) for _, one in sorted(found.items())]
    assert pairs == [
        ("re_lu", "CONV_2D"),
        ("re_lu_1", "CONV_2D"),
        ("re_lu_2", "CONV_2D"),
        ("add", "ADD"),
        ("activation", "CONV_2D"),
        ("shared", "CONV_2D"),
        ("conv2d_1 (before silu)", "CONV_2D"),
        ("conv2d_1", "MUL"),
        ("batch_normalization_3", "ADD"),
        ("layer_normalization", "ADD"),
        ("global_average_pooling2d", "MEAN"),
        ("dense (before softmax)", "FULLY_CONNECTED"),
        ("dense", "SOFTMAX"),
    ]


def test_the_order_of_the_file_is_that_of_the_layers(matching):
    """Also of layers whose names TensorFlow gave to others."""
    _, found = matching
    indices = [one.operator.index for _, one in sorted(found.items())]
    assert indices == sorted(set(indices))


def test_only_the_output_is_certain(matching):
    graph, found = matching
    assert [value for value, one in found.items() if one.certain] == list(graph.outputs)


def test_names_of_keras_2(matching):
    """Scopes that are opened once: `model/conv2d_1/Conv2D` is the layer `conv2d_1`."""
    graph, _ = matching
    outermost = {step.scopes[0] for step in graph.steps}
    assert {"conv2d", "conv2d_1", "conv2d_2", "inner/conv2d_1", "shared", "shared_1"} <= outermost


def test_what_is_no_graph():
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    assert unfold(Subclassed()) is None
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="last")])
    assert [step.name for step in unfold(model).steps] == ["last"]
