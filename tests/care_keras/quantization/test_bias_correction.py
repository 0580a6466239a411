import keras
import numpy as np
from keras import layers

from care_keras.deploy import fuse
from care_keras.metrics import snr_db
from care_keras.quantization import calibrate, freeze, int8_ptq, quantize
from care_keras.quantization.bias_correction import correct_biases
from tests.care_keras.helpers import infer, numpy_of, randomize_weights


def network():
    """Depthwise kernels, whose rounding errors hardly cancel, and a layer that is called twice."""
    images = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3, activation="relu6", padding="same", name="stem")(images)
    shared = layers.Conv2D(8, 1, name="shared")
    x = shared(shared(x))
    for index in range(3):
        x = layers.DepthwiseConv2D(3, padding="same", name=f"depthwise_{index}")(x)
        x = layers.Conv2D(8, 1, activation="relu", name=f"pointwise_{index}")(x)
    model = keras.Model(images, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))
    randomize_weights(model)
    return model


def values(seed, count=16):
    return np.random.default_rng(seed).normal(size=(count, 12, 12, 3)).astype("float32")


def calibrated(model, **kwargs):
    config = int8_ptq("percentile", percentile=98.0, **kwargs)
    form = quantize(fuse(model), config)
    calibrate(form, [values(0)], config)
    return form


def test_means_become_those_of_the_float_network():
    model = network()
    before, after = (calibrated(model, correct_biases=one) for one in (False, True))
    expected = numpy_of(infer(model, values(0))).mean(axis=0)
    errors = [
        np.abs(numpy_of(infer(x, values(0))).mean(axis=0) - expected) for x in (before, after)
    ]
    assert errors[1].max() < 0.4 * errors[0].max()


def test_it_helps_images_that_were_not_seen():
    model, unseen = network(), values(1, 64)
    expected = numpy_of(infer(model, unseen))
    before, after = (
        snr_db(numpy_of(infer(calibrated(model, correct_biases=one), unseen)), expected)
        for one in (False, True)
    )
    assert after > before + 1.0


def test_what_was_added_is_told():
    form = calibrated(network(), correct_biases=False)
    added = correct_biases(form, [values(0)])
    freeze(form)
    # Each call of a layer has become a layer of its own.
    assert {"stem", "shared", "shared_1", "depthwise_0", "pointwise_2"} <= added.keys()
    assert max(added.values()) > 0.01
    assert form.get_layer("stem").activation == "relu6" and form.get_layer("stem").rounds
