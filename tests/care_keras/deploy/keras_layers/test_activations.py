"""Activations: layers, functions of `keras.activations`, and operations of `keras.ops`."""

import keras
from keras import layers, ops

from care_keras.deploy.keras_layers import activations
from tests.care_keras.deploy.keras_layers.harness import LayerCase, all_checks


def mapped(x):
    """A map whose numbers have both signs and some size."""
    return layers.Conv2D(4, 1)(x)


def activated(layer, **kwargs):
    return LayerCase(lambda x: layer()(mapped(x)), **kwargs)


# Those of Keras that TFLite has, or that can be written on what it has.
NAMES = sorted(set(activations._FUNCTIONS) - {"gelu_by_tanh"})
NAMED = {name: activated(lambda name=name: layers.Activation(name)) for name in NAMES}
LAYERS = {
    "relu": activated(layers.ReLU),
    "relu to 6": activated(lambda: layers.ReLU(6.0)),
    "relu to 4": activated(lambda: layers.ReLU(max_value=0.4)),
    "relu with a slope": activated(lambda: layers.ReLU(negative_slope=0.1)),
    "relu with a slope to 4": activated(lambda: layers.ReLU(max_value=0.4, negative_slope=0.1)),
    "leaky relu": activated(lambda: layers.LeakyReLU(negative_slope=0.05)),
    "prelu": activated(layers.PReLU, any_size=False),
    "prelu of channels": activated(lambda: layers.PReLU(shared_axes=[1, 2])),
    "prelu of rows": activated(lambda: layers.PReLU(shared_axes=[2]), any_size=False),
    "prelu of rank 2": LayerCase(
        lambda x: layers.PReLU()(layers.GlobalMaxPooling2D()(layers.Conv2D(8, 1)(x)))
    ),
    "elu": activated(layers.ELU),
    "elu with alpha": activated(lambda: layers.ELU(alpha=0.3)),
    "softmax": activated(layers.Softmax),
    "softmax over rows": activated(lambda: layers.Softmax(axis=1)),
    "softmax over columns": activated(lambda: layers.Softmax(axis=[-2])),
    "activation of a layer": activated(lambda: layers.Activation(layers.ELU())),
    "within a layer of rank 2": LayerCase(
        lambda x: layers.Dense(6, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    ),
    "within a convolution": LayerCase(lambda x: layers.Conv2D(4, 1, activation="hard_silu")(x)),
}
FUNCTIONS = {
    "absolute": ops.abs,
    "exp": ops.exp,
    "gelu": ops.gelu,
    "gelu by erf": lambda x: ops.gelu(x, approximate=False),
    "elu": lambda x: ops.elu(x, 0.5),
    "hard sigmoid": ops.hard_sigmoid,
    "hard silu": ops.hard_silu,
    "hard tanh": ops.hard_tanh,
    "leaky relu": lambda x: ops.leaky_relu(x, 0.3),
    "log sigmoid": ops.log_sigmoid,
    "negative": lambda x: -x,
    "relu": ops.relu,
    "relu6": ops.relu6,
    "selu": ops.selu,
    "sigmoid": ops.sigmoid,
    "silu": ops.silu,
    "softmax": ops.softmax,
    "softmax over rows": lambda x: ops.softmax(x, axis=1),
    "softplus": ops.softplus,
    "softsign": ops.softsign,
    "square": ops.square,
    "tanh": ops.tanh,
    "tanh shrink": ops.tanh_shrink,
    "clip": lambda x: ops.clip(x, -0.5, 0.25),
    "clip to six": lambda x: ops.clip(x, 0, 6),
}
POSITIVE = {
    "log": LayerCase(ops.log, low=0.2),
    "rsqrt": LayerCase(ops.rsqrt, low=0.3),
    "sqrt": LayerCase(ops.sqrt, low=0.1),
    # The inverse of the root of a small number is large, and has few codes.
    "sqrt of 0 among others": LayerCase(lambda x: ops.sqrt(ops.relu(mapped(x))), snr=15.0),
}
OPERATIONS = {
    name: LayerCase(lambda x, function=function: function(mapped(x)))
    for name, function in FUNCTIONS.items()
}


@all_checks(NAMED)
def test_function(case, check):
    check(case)


@all_checks(LAYERS)
def test_layer(case, check):
    check(case)


@all_checks(OPERATIONS | POSITIVE)
def test_operation(case, check):
    check(case)


def test_names_are_those_of_keras():
    assert all(hasattr(keras.activations, name) for name in NAMES)
