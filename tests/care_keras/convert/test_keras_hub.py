"""KerasHub's detector and segmenter on a CARE backbone: trained a step, and int8.

KerasHub is no dependency of ours: `pip install keras-hub` runs these.
"""

import keras
import numpy as np
import pytest

from care_keras.convert.conversion import convert_model
from care_keras.litert.file import LiteRTFile
from care_keras.metrics import snr_db
from care_keras.models import CAREBackbone
from care_keras.tflite_file import read_graph, require_integer_only
from tests.care_keras.helpers import numpy_of

models = pytest.importorskip("keras_hub", reason="keras-hub is not installed").models

pytestmark = pytest.mark.usefixtures("converter_here")
SIZE = (64, 96)
CLASSES = 3


def backbone():
    return CAREBackbone(
        depths=(1, 1, 1, 1),
        channels=(8, 16, 32, 64),
        expansion_ratios=((1, 1),) * 4,
        head_dims=(None, None, 8, 16),
        stem_stride=4,
        image_shape=(*SIZE, 3),
    )


def detector():
    features = models.RetinaNetBackbone(
        image_encoder=backbone(), min_level=3, max_level=5, use_p5=False, image_shape=(*SIZE, 3)
    )
    model = models.RetinaNetObjectDetector(
        backbone=features, num_classes=CLASSES, pre_logits_num_conv_layers=1, preprocessor=None
    )
    model.compile(
        optimizer="adam",
        box_loss=keras.losses.Huber(reduction="sum"),
        classification_loss=keras.losses.BinaryFocalCrossentropy(from_logits=True, reduction="sum"),
    )
    boxes = np.tile(np.float32([8, 8, 40, 60]), (8, 1, 1))
    return model, {"boxes": boxes, "labels": np.ones((8, 1), np.float32)}


def segmenter():
    features = models.DeepLabV3Backbone(
        image_encoder=backbone(),
        spatial_pyramid_pooling_key="P5",
        low_level_feature_key="P2",
        upsampling_size=8,
        dilation_rates=[1, 2, 3],
        projection_filters=16,
        image_shape=(*SIZE, 3),
    )
    model = models.DeepLabV3ImageSegmenter(
        backbone=features, num_classes=CLASSES, activation=None, preprocessor=None
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=[])
    return model, np.random.default_rng(1).integers(0, CLASSES, (8, *SIZE))


@pytest.mark.parametrize("make", [detector, segmenter])
def test_int8(make):
    keras.utils.set_random_seed(0)
    model, known = make()
    images = np.random.default_rng(0).normal(size=(8, *SIZE, 3)).astype(np.float32)
    history = model.fit(images, known, batch_size=4, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    converted = convert_model(model, None, "int8", calibration=[(image,) for image in images])
    require_integer_only(read_graph(converted.content))
    expected = [numpy_of(one) for one in keras.tree.flatten(model(images, training=False))]
    file = LiteRTFile(converted.content)
    (taken,) = file.inputs.values()
    found = file.run(taken.quantize(images[:1]))
    assert len(found) == len(expected)
    for output, codes in zip(file.outputs.values(), found.values(), strict=True):
        values = output.dequantize(codes)
        (wanted,) = (one[:1] for one in expected if one[:1].shape == codes.shape)
        assert snr_db(values, wanted) > 10.0
