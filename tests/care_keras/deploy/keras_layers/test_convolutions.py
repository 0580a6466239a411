"""Convolutions and products with a matrix."""

import keras
from keras import layers

from tests.care_keras.deploy.keras_layers.harness import LayerCase, all_checks


def conv(*args, channels=3, **kwargs):
    return LayerCase(lambda x: layers.Conv2D(*args, **kwargs)(x), channels=channels)


def depthwise(*args, channels=3, **kwargs):
    return LayerCase(lambda x: layers.DepthwiseConv2D(*args, **kwargs)(x), channels=channels)


def rows(x):
    """Of an image of known size."""
    return layers.Reshape((-1, x.shape[-1]))(x)


CONVOLUTIONS = {
    "1x1": conv(4, 1),
    "3x3 valid": conv(4, 3),
    "3x3 same": conv(4, 3, padding="same"),
    "1x3": conv(4, (1, 3), padding="same"),
    "strides 2 valid": conv(4, 3, 2),
    "strides 2 same": conv(4, 3, 2, padding="same"),
    "patches": conv(4, 2, 2),
    "strides (2, 1)": conv(4, 3, (2, 1), padding="same"),
    "dilation 2": conv(4, 3, dilation_rate=2, padding="same"),
    "dilation (1, 2)": conv(4, (2, 3), dilation_rate=(1, 2)),
    "groups": conv(6, 3, groups=2, channels=4, padding="same"),
    "a group for each channel": conv(6, 3, groups=3, padding="same"),
    "a group for each channel, 7x7": conv(3, 7, groups=3, padding="same", activation="relu"),
    "a group for each channel, strides (2, 1)": conv(6, 3, (2, 1), groups=3, padding="same"),
    "without bias": conv(4, 3, use_bias=False),
    "one channel": conv(4, 3, channels=1, padding="same"),
    "to one channel": conv(1, 3),
    "relu": conv(4, 3, activation="relu"),
    "silu": conv(4, 3, activation="silu"),
}
DEPTHWISE = {
    "3x3 same": depthwise(3, padding="same"),
    "3x3 valid": depthwise(3),
    "multiplier": depthwise(3, depth_multiplier=2, padding="same"),
    "multiplier of one channel": depthwise(3, depth_multiplier=4, channels=1),
    "strides 2": depthwise(3, 2, padding="same"),
    "strides 2 valid, relu6": depthwise(3, 2, activation="relu6"),
    "dilation": depthwise(3, dilation_rate=2, padding="same"),
    "without bias": depthwise((1, 3), use_bias=False),
    "7x7": depthwise(7, padding="same", activation="relu"),
    "9x9": depthwise(9, padding="same"),
    "9x5 multiplier": depthwise((9, 5), padding="same", depth_multiplier=2),
    "1x27": depthwise((1, 27), padding="same"),
}
OTHERS = {
    "separable": LayerCase(
        lambda x: layers.SeparableConv2D(4, 3, padding="same", activation="relu")(x)
    ),
    "separable strides": LayerCase(
        lambda x: layers.SeparableConv2D(4, 3, 2, depth_multiplier=2, use_bias=False)(x)
    ),
    "transposed": LayerCase(lambda x: layers.Conv2DTranspose(4, 3, 2, padding="same")(x)),
    "transposed valid": LayerCase(lambda x: layers.Conv2DTranspose(4, 2, 2)(x)),
    "transposed (3, 2), relu": LayerCase(
        lambda x: layers.Conv2DTranspose(4, (3, 2), (1, 2), activation="relu", use_bias=False)(x)
    ),
    "transposed with gaps": LayerCase(lambda x: layers.Conv2DTranspose(2, 1, 2)(x)),
    "dense of rank 2": LayerCase(
        lambda x: layers.Dense(5)(layers.GlobalAveragePooling2D()(x)), any_size=True
    ),
    "dense of rank 2, relu": LayerCase(
        lambda x: layers.Dense(5, "relu")(layers.Flatten()(x)), any_size=False
    ),
    "dense of rank 3": LayerCase(lambda x: layers.Dense(5)(rows(x))),
    "dense of rank 4": LayerCase(lambda x: layers.Dense(5, "gelu", use_bias=False)(x)),
    "dense of rank 5": LayerCase(
        lambda x: layers.Dense(5)(layers.Reshape((3, 2, 8, 3))(x)), any_size=False
    ),
    "einsum": LayerCase(
        lambda x: layers.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d")(rows(x))
    ),
    "einsum with an ellipsis": LayerCase(
        lambda x: layers.EinsumDense("...x,xy->...y", 5, activation="relu")(x), any_size=False
    ),
    "einsum to heads and back": LayerCase(
        lambda x: layers.EinsumDense("abcd,cde->abe", (None, 4), bias_axes="e")(
            layers.EinsumDense("abc,cde->abde", (None, 2, 5), bias_axes="de")(rows(x))
        )
    ),
    "einsum with a bias for each head": LayerCase(
        lambda x: layers.EinsumDense("abc,cde->abde", (None, 2, 5), bias_axes="d")(rows(x))
    ),
    "an activation that is a layer": LayerCase(
        lambda x: layers.Conv2D(4, 3, activation=layers.LeakyReLU(negative_slope=0.1))(x)
    ),
    "an activation of keras.ops": LayerCase(
        lambda x: layers.Conv2D(4, 3, activation=keras.ops.gelu)(x)
    ),
}


@all_checks(CONVOLUTIONS)
def test_convolution(case, check):
    check(case)


@all_checks(DEPTHWISE)
def test_depthwise_convolution(case, check):
    check(case)


@all_checks(OTHERS)
def test_product(case, check):
    check(case)
