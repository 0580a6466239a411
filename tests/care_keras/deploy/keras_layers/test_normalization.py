"""Normalization over the numbers of one image."""

from keras import layers

from tests.care_keras.deploy.keras_layers.harness import LayerCase, all_checks


def mapped(x):
    return layers.Conv2D(8, 1)(x)


def rows(x):
    return layers.Reshape((-1, 8))(mapped(x))


def averages(x):
    return layers.GlobalMaxPooling2D()(mapped(x))


NORM = layers.LayerNormalization

CASES = {
    "layer norm of rank 4": LayerCase(lambda x: NORM()(mapped(x))),
    "layer norm of rank 3": LayerCase(lambda x: NORM(epsilon=1e-6)(rows(x))),
    "layer norm of rank 2": LayerCase(lambda x: NORM(axis=1)(averages(x))),
    "layer norm without factors": LayerCase(lambda x: NORM(scale=False, center=False)(mapped(x))),
    "layer norm before a dense layer": LayerCase(lambda x: layers.Dense(4)(NORM()(rows(x)))),
    "group norm": LayerCase(lambda x: layers.GroupNormalization(4)(mapped(x)), any_size=False),
    "group norm of each channel": LayerCase(
        lambda x: layers.GroupNormalization(-1)(mapped(x)), any_size=False
    ),
    "group norm of all channels": LayerCase(
        lambda x: layers.GroupNormalization(1, scale=False)(mapped(x)), any_size=False
    ),
    "group norm of rank 3": LayerCase(
        lambda x: layers.GroupNormalization(2)(rows(x)), any_size=False
    ),
    "rms norm": LayerCase(lambda x: layers.RMSNormalization()(mapped(x))),
    "rms norm of rank 2": LayerCase(lambda x: layers.RMSNormalization()(averages(x))),
    "unit norm": LayerCase(lambda x: layers.UnitNormalization()(mapped(x))),
    "unit norm of rank 2": LayerCase(
        lambda x: layers.Dense(3)(layers.UnitNormalization()(averages(x)))
    ),
}


@all_checks(CASES)
def test_normalization(case, check):
    check(case)
