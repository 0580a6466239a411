"""Whole networks of `keras.applications`: what they are made of becomes primitives."""

import os

import numpy as np
import pytest
from keras import applications

from care_keras import primitives as p
from care_keras.deploy import fuse
from care_keras.emit.network import emit_tflite
from care_keras.graph import unfold
from care_keras.litert.model import LiteRTModel
from tests.care_keras.helpers import infer, numpy_of

# Side of the images, and the arguments of the constructor.
SMALL = {
    "MobileNetV3Small": (32, {}),
    "ConvNeXtTiny": (32, {}),
}
LARGE = {
    "MobileNet": (32, {}),
    "MobileNetV2": (32, {}),
    "MobileNetV3Large": (32, {}),
    "EfficientNetB0": (32, {}),
    "EfficientNetV2B0": (32, {}),
    "ResNet50": (32, {}),
    "ResNet50V2": (32, {}),
    "DenseNet121": (32, {}),
    "VGG16": (32, {}),
    "InceptionV3": (75, {}),
    "Xception": (71, {}),
    "NASNetMobile": (32, {}),
}
# Depthwise convolutions of one tap that are left: of the image where it meets padding, of sums and
# concatenations that a norm and ReLU follow, and of norms that several layers read.
ONE_TAPS = {
    "ConvNeXtTiny": 2,
    "DenseNet121": 62,
    "EfficientNetV2B0": 1,
    "MobileNetV3Large": 1,
    "MobileNetV3Small": 1,
    "NASNetMobile": 4,
    "ResNet50V2": 17,
}
everything = pytest.mark.skipif(
    os.environ.get("CARE_KERAS_ALL_APPLICATIONS") != "1",
    reason="takes minutes: CARE_KERAS_ALL_APPLICATIONS=1 runs it",
)
CASES = [
    *(pytest.param(name, *case, id=name) for name, case in SMALL.items()),
    *(pytest.param(name, *case, id=name, marks=everything) for name, case in LARGE.items()),
]


def randomize_norms(model):
    """Statistics and factors of BatchNorms, and other factors, that keep numbers about 1."""
    rng = np.random.default_rng(3)
    ranges = {
        "moving_variance": (0.5, 1.5),
        "gamma": (0.5, 1.0),
        "moving_mean": (-0.3, 0.3),
        "beta": (-0.3, 0.3),
    }
    for step in unfold(model).steps:
        for weight in step.operation.weights if hasattr(step.operation, "weights") else ():
            if weight.name in ranges:
                weight.assign(rng.uniform(*ranges[weight.name], weight.shape))


@pytest.mark.parametrize(("name", "side", "kwargs"), CASES)
def test_application(name, side, kwargs):
    model = getattr(applications, name)(
        weights=None, input_shape=(side, side, 3), include_top=False, pooling="avg", **kwargs
    )
    randomize_norms(model)
    deployed = fuse(model)
    assert deployed.foreign_reasons == {}
    assert deployed.foreign_operations == []
    images = np.random.default_rng(0).uniform(0.0, 2.0, (2, side, side, 3)).astype("float32")
    expected = numpy_of(infer(model, images))
    scale = np.abs(expected).max()
    assert np.isfinite(scale) and scale > 1e-3 and expected.std() > 1e-4 * scale
    tolerance = 1e-4 * scale
    np.testing.assert_allclose(numpy_of(infer(deployed, images)), expected, atol=tolerance)
    if name in SMALL:
        file = LiteRTModel(emit_tflite(deployed, (side, side)))
        np.testing.assert_allclose(file.predict(images), expected, atol=tolerance)
    taps = [x for x in deployed.layers if isinstance(x, p.DepthwiseConv2D)]
    assert len([x for x in taps if x.kernel_size == (1, 1)]) == ONE_TAPS.get(name, 0)
