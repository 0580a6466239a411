"""What has no primitives stays as it is, computes the same, and says why."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from care_keras.deploy import fuse
from tests.care_keras.deploy.keras_layers.harness import SIZE, arrays_of, randomize, run


def channels_first(x):
    return layers.UpSampling2D(2, data_format="channels_first")(x)


def causal(x):
    x = layers.Reshape((-1, 3))(x)
    return layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)


def masked(x):
    x = layers.Reshape((-1, 3))(x)
    mask = ops.max(x, axis=-1) > 0.0
    return layers.MultiHeadAttention(2, 4)(x, x, key_mask=mask)


def masked_by_a_layer(x):
    x = layers.Masking(0.0)(layers.ReLU()(layers.Reshape((-1, 1))(x)))
    return layers.GlobalAveragePooling1D()(x)


def scores(x):
    x = layers.Reshape((-1, 3))(x)
    return layers.MultiHeadAttention(2, 4)(x, x, return_attention_scores=True)


def masked_softmax(x):
    return layers.Softmax()(x, mask=x > 0.0)


@keras.saving.register_keras_serializable("test_foreign")
class Standardized(layers.Conv2D):
    """Has a function of its own where Keras says that subclasses may."""

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel - ops.mean(kernel))


@keras.saving.register_keras_serializable("test_foreign")
class Doubled(layers.Dense):
    def call(self, inputs, training=None):
        return 2.0 * super().call(inputs)


@keras.saving.register_keras_serializable("test_foreign")
def swish(x):
    """Not that of Keras."""
    return x * ops.sigmoid(1.702 * x)


# What makes a model, and the reason by the class of what stays.
CASES = {
    "channels first": (channels_first, {"UpSampling2D": "channels_first"}),
    "pooling of channels first": (
        lambda x: layers.MaxPooling2D(2, data_format="channels_first")(x),
        {"MaxPooling2D": "channels_first"},
    ),
    "causal": (causal, {"MultiHeadAttention": "use_causal_mask"}),
    "mask": (masked, {"MultiHeadAttention": "key_mask", "Greater": "has no primitives"}),
    "mask of a layer": (
        masked_by_a_layer,
        {
            "Masking": "has no primitives",
            "NotEqual": "has no primitives",
            "Any": "has no primitives",
            "GlobalAveragePooling1D": "it is called with mask",
        },
    ),
    "scores": (scores, {"MultiHeadAttention": "return_attention_scores"}),
    "masked softmax": (masked_softmax, {"Softmax": "mask", "Greater": "has no primitives"}),
    "own convolution": (lambda x: Standardized(4, 3)(x), {"Standardized": "convolution_op"}),
    "own call": (lambda x: Doubled(4)(x), {"Doubled": "'call' of its own"}),
    "own activation": (
        lambda x: layers.Conv2D(4, 3, activation=swish)(x),
        {"Conv2D": "activation="},
    ),
    "an activation without primitives": (
        lambda x: layers.Activation("sparsemax")(x),
        {"Activation": "sparsemax"},
    ),
    "threshold": (lambda x: layers.ReLU(threshold=0.5)(x), {"ReLU": "threshold"}),
    "norm of two axes": (
        lambda x: layers.LayerNormalization(axis=[1, 2, 3])(x),
        {"LayerNormalization": "axis"},
    ),
    "norm of an axis in front": (
        lambda x: layers.BatchNormalization(axis=1)(x),
        {"BatchNormalization": "last axis"},
    ),
    "causal padding": (
        lambda x: layers.Conv2DTranspose(4, 3, 2, output_padding=1)(x),
        {"Conv2DTranspose": "output_padding"},
    ),
    "shape of an image in the batch": (
        lambda x: ops.reshape(x, (2, -1, 8, 3)),
        {"Reshape": "newshape"},
    ),
    "images rolled": (lambda x: ops.roll(x, 1, axis=0), {"Roll": "rolls images"}),
    "all axes rolled": (lambda x: ops.roll(x, 1), {"Roll": "all axes"}),
    "padding with ones": (
        lambda x: ops.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)), constant_values=1),
        {"Pad": "constant_values"},
    ),
    "padding by mirrors": (
        lambda x: ops.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)), "reflect"),
        {"Pad": "reflect"},
    ),
    "backwards": (lambda x: ops.flip(x, axis=2), {"Flip": "has no primitives"}),
    "cubic": (
        lambda x: layers.Resizing(9, 9, interpolation="bicubic")(x),
        {"Resizing": "interpolation"},
    ),
    "odd power": (lambda x: ops.abs(x) ** 1.5, {"Power": "power=1.5"}),
    "whole": (lambda x: ops.mean(x) + x, {"Mean": "batch", "Add": "numbers of axes"}),
    "numbers of what is no number": (
        lambda x: ops.cast(x > 0.0, "float32") * x,
        {"Greater": "has no primitives", "Cast": "its input is bool"},
    ),
    "places": (
        lambda x: ops.cast(2 * ops.argmax(x, axis=-1, keepdims=True), "float32") + x,
        {"Multiply": "input is int", "Cast": "input is int"},
    ),
    "places in the batch": (lambda x: ops.argmax(x, axis=0), {"Argmax": "images of a batch"}),
}


@pytest.mark.parametrize("name", CASES)
def test_foreign(name, tmp_path):
    make, reasons = CASES[name]
    x = keras.Input((*SIZE, 3), name="image")
    model = keras.Model(x, make(layers.Conv2D(3, 1)(x)))
    randomize(model)
    deployed = fuse(model)
    foreign = {type(one).__name__: one.name for one in deployed.foreign_operations}
    assert foreign.keys() == reasons.keys()
    for kind, reason in reasons.items():
        assert reason in deployed.foreign_reasons[foreign[kind]]
    images = np.random.default_rng(2).normal(size=(3, *SIZE, 3)).astype("float32")
    expected = arrays_of(run(model, images))
    deployed.save(tmp_path / "deploy.keras")
    loaded = keras.models.load_model(tmp_path / "deploy.keras", safe_mode=True)
    assert loaded.foreign_reasons == deployed.foreign_reasons
    for form in (deployed, loaded):
        for one, other in zip(arrays_of(run(form, images)), expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4 * max(1.0, np.abs(other).max()))


def test_what_stays_has_one_copy_and_a_name_of_its_own():
    """Operations of `keras.ops` too, whose names two models within one may share."""

    def block(name):
        x = keras.Input((*SIZE, 3))
        flip = ops.flip(x, axis=1)
        return keras.Model(x, layers.Dense(3, activation=swish, name="dense")(flip), name=name)

    x = keras.Input((*SIZE, 3))
    first, second = block("first"), keras.models.clone_model(block("second"))
    model = keras.Model(x, second(first(first(x))))
    randomize(model)
    deployed = fuse(model)
    dense = [one for one in deployed.foreign_operations if type(one) is layers.Dense]
    assert len(dense) == 2
    names = [operation.name for operation in deployed.operations]
    assert len(set(names)) == len(names)
    images = np.random.default_rng(2).normal(size=(3, *SIZE, 3)).astype("float32")
    (one,), (other,) = (arrays_of(run(form, images)) for form in (deployed, model))
    np.testing.assert_allclose(one, other, atol=1e-5)
