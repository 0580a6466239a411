"""What is a factor and an offset for each channel: BatchNormalization and others like it."""

import keras
import numpy as np
from keras import layers

from tests.care_keras.deploy.keras_layers.harness import LayerCase, all_checks

NORM = layers.BatchNormalization


def adapted(**kwargs):
    normalization = layers.Normalization(**kwargs)
    images = np.random.default_rng(3).normal(0.4, 2.0, (8, 6, 8, 3)).astype("float32")
    normalization.adapt(images)
    return normalization


def concatenated(x):
    parts = [layers.Conv2D(3, 3, padding="same")(x), x]
    return layers.Conv2D(4, 3)(layers.ReLU()(NORM()(layers.Concatenate()(parts))))


def residual(x):
    y = layers.Conv2D(3, 3, padding="same")(x)
    return NORM()(layers.Add()([x, y]))


CASES = {
    "at the input": LayerCase(lambda x: NORM()(x)),
    "at the input, before same padding": LayerCase(
        lambda x: layers.Conv2D(4, 3, padding="same")(NORM()(x))
    ),
    "before a convolution": LayerCase(lambda x: layers.Conv2D(4, 3)(NORM()(x))),
    "before a convolution in groups": LayerCase(
        lambda x: layers.Conv2D(4, 3, groups=2)(NORM()(layers.Conv2D(4, 1)(x)))
    ),
    "before a depthwise convolution": LayerCase(
        lambda x: layers.DepthwiseConv2D(3, depth_multiplier=2)(NORM()(x))
    ),
    "before a dense layer": LayerCase(
        lambda x: layers.Dense(4)(NORM()(layers.GlobalAveragePooling2D()(x)))
    ),
    "before a separable convolution": LayerCase(lambda x: layers.SeparableConv2D(4, 3)(NORM()(x))),
    "before a product over two axes": LayerCase(
        lambda x: layers.EinsumDense("abcd,cde->abe", (None, 4))(NORM()(x)), any_size=False
    ),
    "without factors before same padding": LayerCase(
        lambda x: layers.Conv2D(4, 3, padding="same")(layers.Rescaling(0.3)(x))
    ),
    "behind a convolution": LayerCase(
        lambda x: NORM()(layers.Conv2D(4, 3, padding="same", use_bias=False)(x))
    ),
    "of axis 3 behind a convolution": LayerCase(lambda x: NORM(axis=3)(layers.Conv2D(4, 3)(x))),
    "behind a depthwise convolution": LayerCase(
        lambda x: NORM(scale=False)(layers.DepthwiseConv2D(3, depth_multiplier=2)(x))
    ),
    "behind a transposed convolution": LayerCase(
        lambda x: NORM(center=False)(layers.Conv2DTranspose(4, 3, 2)(x))
    ),
    "behind a dense layer": LayerCase(
        lambda x: layers.ReLU()(NORM()(layers.Dense(4)(layers.GlobalAveragePooling2D()(x))))
    ),
    "between convolutions": LayerCase(
        lambda x: layers.Conv2D(4, 3)(layers.ReLU()(NORM()(layers.Conv2D(4, 3)(x))))
    ),
    "behind an activation": LayerCase(
        lambda x: layers.Conv2D(4, 3)(NORM()(layers.Conv2D(4, 3, activation="relu")(x)))
    ),
    "behind an addition": LayerCase(residual),
    "behind a concatenation, with ReLU behind": LayerCase(concatenated),
    "twice": LayerCase(lambda x: NORM()(NORM()(x))),
    "of rank 3": LayerCase(lambda x: NORM()(layers.Reshape((-1, 3))(x))),
    "of one channel": LayerCase(lambda x: NORM()(x), channels=1),
    "of another axis than the last": LayerCase(
        lambda x: layers.Permute((2, 3, 1))(NORM()(layers.Permute((2, 3, 1))(x))), any_size=False
    ),
    "rescaling": LayerCase(lambda x: layers.Rescaling(1 / 127.5, -1.0)(x)),
    "rescaling of channels": LayerCase(
        lambda x: layers.Conv2D(4, 1)(layers.Rescaling([0.5, 1.0, 2.0], [0.1, 0.2, 0.3])(x))
    ),
    "normalization": LayerCase(lambda x: layers.Conv2D(4, 3)(adapted()(x))),
    "normalization by one number": LayerCase(lambda x: adapted(axis=None)(x)),
    "normalization by given numbers": LayerCase(
        lambda x: layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[0.5, 1.0, 2.0])(x)
    ),
    "normalization undone": LayerCase(lambda x: adapted(invert=True)(x)),
}


@all_checks(CASES)
def test_affine(case, check):
    check(case)


def test_what_was_adapted_is_no_default():
    mean, variance = (keras.ops.convert_to_numpy(x) for x in (adapted().mean, adapted().variance))
    assert np.abs(mean - 0.4).max() < 0.5 and variance.min() > 3.0
