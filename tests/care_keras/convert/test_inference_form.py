import keras
import numpy as np
import pytest

from care_keras.convert.inference_form import inference_form
from care_keras.data.preprocessing import normalize
from care_keras.layers import FoldableBatchNormalization, LinearAttention


def assert_same(outputs, expected):
    outputs, expected = (keras.ops.convert_to_numpy(x) for x in (outputs, expected))
    np.testing.assert_allclose(outputs, expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("division_free", [False, True])
def test_outputs_are_those_of_the_model(small_model, preprocessing, photos, division_free):
    inputs = normalize(photos, preprocessing)
    copied = inference_form(small_model, division_free=division_free)
    assert_same(copied(inputs, training=False), small_model(inputs, training=False))


def test_no_batch_norm_is_left_and_the_model_is_as_it_was(small_model):
    copied = inference_form(small_model, division_free=True)

    def layers(model, kind):
        return [layer for layer in model._flatten_layers() if isinstance(layer, kind)]

    norms = layers(copied, FoldableBatchNormalization)
    assert len(norms) == 2 + 2 * 2 and all(norm.folded for norm in norms)
    assert not any(norm.folded for norm in layers(small_model, FoldableBatchNormalization))
    assert all(layer.division_free for layer in layers(copied, LinearAttention))
    assert not any(layer.division_free for layer in layers(small_model, LinearAttention))


def test_pixels_give_what_normalized_images_give(small_model, preprocessing, photos):
    copied = inference_form(small_model, preprocessing)
    expected = small_model(normalize(photos, preprocessing), training=False)
    assert_same(copied(photos.astype(np.float32), training=False), expected)


def test_the_backbone_alone_can_be_folded(small_model, preprocessing, photos):
    backbone = small_model.backbone
    expected = backbone(normalize(photos[:2], preprocessing), training=False)
    copied = inference_form(backbone, preprocessing)
    assert_same(copied(photos[:2].astype(np.float32), training=False), expected)


def test_a_foreign_model_is_left_alone():
    inputs = keras.Input((16, 24, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(4, 3, padding="same")(inputs))
    assert inference_form(model) is None
