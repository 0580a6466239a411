import keras
import numpy as np

from care_keras.convert.pixels import fold_preprocessing
from care_keras.data.preprocessing import normalize


def test_pixels_give_what_normalized_images_give(small_model, preprocessing, photos):
    folded = fold_preprocessing(small_model, preprocessing)
    expected = small_model.predict(normalize(photos, preprocessing), verbose=0)
    outputs = folded.predict(photos.astype(np.float32), verbose=0)
    np.testing.assert_allclose(outputs, expected, atol=2e-5 * np.abs(expected).max())


def test_the_backbone_alone_can_be_folded(small_model, preprocessing, photos):
    backbone = small_model.backbone
    folded = fold_preprocessing(backbone, preprocessing)
    expected = backbone.predict(normalize(photos[:2], preprocessing), verbose=0)
    outputs = folded.predict(photos[:2].astype(np.float32), verbose=0)
    np.testing.assert_allclose(outputs, expected, atol=2e-5 * np.abs(expected).max())


def test_a_foreign_model_is_left_alone(preprocessing):
    inputs = keras.Input((16, 24, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(4, 3, padding="same")(inputs))
    assert fold_preprocessing(model, preprocessing) is None
