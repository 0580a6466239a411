import keras
import pytest

from care_keras.convert.inheritance import backbone_config, inherited_preprocessing, wants_pixels
from care_keras.convert.preprocessing import model_preprocessing
from care_keras.data.overrides import InputOverrides
from care_keras.models import build_model
from care_keras.models.config import CARE_NANO


def nano():
    return build_model(CARE_NANO, include_top=False, input_shape=(32, 32, 3))


def functional():
    backbone = nano()
    x = keras.layers.GlobalAveragePooling2D()(backbone.output)
    return keras.Model(backbone.input, keras.layers.Dense(4)(x))


def sequential():
    return keras.Sequential(
        [keras.Input((32, 32, 3)), nano(), keras.layers.Flatten(), keras.layers.Dense(4)]
    )


def rescaled(*layers):
    images = x = keras.Input((32, 32, 3))
    for layer in layers:
        x = layer(x)
    return keras.Model(images, nano()(x))


@pytest.mark.parametrize("make", [nano, functional, sequential])
def test_the_backbone_s_preprocessing_is_taken_over(make):
    model = make()
    assert backbone_config(model) is CARE_NANO and not wants_pixels(model)
    assert inherited_preprocessing(model) == (CARE_NANO.preprocessing, "care_nano")
    warnings = []
    record = model_preprocessing(model, InputOverrides(), warnings)
    assert record.mean == CARE_NANO.preprocessing.mean
    assert "prepared as those of care_nano" in warnings[0] and "--mean" in warnings[0]


@pytest.mark.parametrize(
    "layers",
    [
        [keras.layers.Rescaling(1 / 127.5, offset=-1)],
        [keras.layers.RandomFlip(), keras.layers.Normalization(mean=[1.0] * 3, variance=[2.0] * 3)],
        [lambda x: x / 255.0],
    ],
    ids=["rescaling", "normalization", "arithmetic"],
)
def test_a_model_that_prepares_its_images_is_fed_pixels(layers):
    model = rescaled(*layers)
    warnings = []
    record = model_preprocessing(model, InputOverrides(), warnings)
    assert wants_pixels(model) and "how its images are resized" in warnings[0]
    assert (record.mean, record.std) == ((0.0,) * 3, (1 / 255,) * 3)


def test_what_is_given_comes_first():
    warnings, said = [], InputOverrides(mean=(0.5,) * 3, std=(0.25,) * 3)
    record = model_preprocessing(functional(), said, warnings)
    assert (record.mean, record.std, warnings) == ((0.5,) * 3, (0.25,) * 3, [])


def test_other_models_inherit_nothing():
    images = keras.Input((32, 32, 3))
    model = keras.Model(images, keras.layers.Conv2D(4, 3)(images))
    assert inherited_preprocessing(model) is None
    warnings = []
    model_preprocessing(model, InputOverrides(), warnings)
    assert "and fed as pixels from 0 to 255" in warnings[0]
