"""How a KerasHub task's images are prepared: by what its image converter says."""

import types

import keras
import numpy as np
import pytest

from care_keras.convert.image_converter import image_converter
from care_keras.convert.preprocessing import model_preprocessing, says_its_preprocessing
from care_keras.data.overrides import InputOverrides
from care_keras.data.preprocessing import normalize
from care_keras.data.record import IMAGENET_MEAN, IMAGENET_STD

SCALE = [1 / (255 * std) for std in IMAGENET_STD]
OFFSET = [-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]


def task(shape=(None, None, 3), **settings):
    """A model with the attributes of a task's converter."""
    images = keras.Input(shape)
    model = keras.Model(images, keras.layers.Conv2D(2, 1)(images))
    converter = {
        "image_size": (20, 24),
        "scale": SCALE,
        "offset": OFFSET,
        "interpolation": "bilinear",
        "crop_to_aspect_ratio": True,
        "pad_to_aspect_ratio": False,
    }
    converter = types.SimpleNamespace(**{**converter, **settings})
    model.preprocessor = types.SimpleNamespace(image_converter=converter)
    return model


def record_of(model, **said):
    lines = []
    return model_preprocessing(model, InputOverrides(**said), lines), lines


def test_its_scale_and_offset_are_those_of_the_record():
    model = task()
    record, (line,) = record_of(model)
    assert (record.height, record.width) == (20, 24) and says_its_preprocessing(model)
    assert (record.interpolation, record.fit, record.crop_ratio) == ("bilinear", "crop", 1.0)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 20, 24, 3)).astype(np.uint8)
    wanted = pixels * np.float64(SCALE) + np.float64(OFFSET)
    np.testing.assert_allclose(normalize(pixels, record), wanted, atol=1e-6)
    assert "as the model's image converter says: mean 0.485,0.456,0.406, std 0.229" in line


def test_without_a_scale_it_takes_pixels():
    record, (line,) = record_of(task(scale=None, offset=None, crop_to_aspect_ratio=False))
    assert "mean 0,0,0," in line
    assert record.mean == (0.0,) * 3 and record.std == pytest.approx((1 / 255,) * 3)
    assert record.fit == "stretch"


def test_one_number_is_for_all_channels():
    record, _ = record_of(task((None, None, 1), scale=1 / 127.5, offset=-1.0))
    assert record.mean == pytest.approx((0.5,)) and record.std == pytest.approx((0.5,))


def test_what_is_given_comes_first():
    record, lines = record_of(task(), size=(32, 40), mean=(0.5,) * 3, std=(0.25,) * 3)
    assert (record.height, record.width, record.mean, record.std, lines) == (
        *(32, 40, (0.5,) * 3, (0.25,) * 3),
        [],
    )


def test_without_a_size_it_is_the_model_s():
    record, _ = record_of(task((16, 16, 3), image_size=None))
    assert (record.height, record.width) == (16, 16)
    with pytest.raises(ValueError, match="any size: choose one with --size"):
        record_of(task(image_size=None))


def test_what_a_record_cannot_say_is_said():
    model = task(interpolation="lanczos3", crop_to_aspect_ratio=False, pad_to_aspect_ratio=True)
    record, lines = record_of(model)
    assert (record.interpolation, record.fit) == ("bicubic", "stretch")
    assert any("by lanczos3" in line for line in lines) and any("pads" in line for line in lines)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": -1.0}, "scale .* must be above 0. Received: scale=-1.0"),
        ({"scale": [1.0, 1.0]}, r"one number, or one for each channel. Received: scale=\[1.0"),
        ({"offset": [0.0] * 4}, r"Received: offset=\[0.0, 0.0, 0.0, 0.0\] for 3$"),
    ],
)
def test_what_is_of_other_images_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        record_of(task(**settings))


def test_other_models_have_none():
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, keras.layers.Flatten()(images))
    assert image_converter(model) is None
    model.preprocessor = types.SimpleNamespace(tokenizer=None)
    assert image_converter(model) is None
