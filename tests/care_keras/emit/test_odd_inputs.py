"""An int8 file runs on whatever a camera may give: no input makes a kernel fail."""

import numpy as np
import pytest

from care_keras.emit.network import emit_tflite
from care_keras.litert.model import LiteRTModel
from care_keras.quantization import calibrate, quantize
from tests.care_keras.quantization.samples import (
    SIZE,
    deploy_form,
    photos,
    quantized_form,
    quick_ptq,
)

RNG = np.random.default_rng(3)


def single_pixel(row, column, value=255):
    image = np.zeros((*SIZE, 3), np.uint8)
    image[row, column] = value
    return image


def noise(scale):
    values = 127.5 + scale * RNG.standard_normal((*SIZE, 3))
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


IMAGES = {
    "black": np.zeros((*SIZE, 3), np.uint8),
    "white": np.full((*SIZE, 3), 255, np.uint8),
    "red": np.zeros((*SIZE, 3), np.uint8) + np.asarray([255, 0, 0], np.uint8),
    "pixel in the corner": single_pixel(0, 0),
    "pixel in the middle": single_pixel(8, 12),
    "dark pixel": 255 - single_pixel(8, 12),
    "checkerboard": np.indices(SIZE).sum(axis=0)[..., None].repeat(3, 2).astype(np.uint8) % 2 * 255,
    **{f"noise of {scale}": noise(scale) for scale in (1, 10, 50, 500)},
}


@pytest.fixture(scope="module")
def model():
    return LiteRTModel(emit_tflite(quantized_form(), SIZE, input_kind="rgb_uint8"))


@pytest.mark.parametrize("name", IMAGES)
def test_runs_on(model, name):
    outputs = model.predict(IMAGES[name][None])
    assert outputs.shape == (1, 10) and np.isfinite(outputs).all()
    # What ran before leaves no trace.
    model.predict(photos(1))
    np.testing.assert_array_equal(model.predict(IMAGES[name][None]), outputs)


def test_photos_are_told_apart(model):
    outputs = model.predict(photos())
    assert len(np.unique(outputs, axis=0)) >= 0.9 * len(outputs)
    assert len(np.unique(outputs.argmax(axis=-1))) > 1


def test_codes_at_both_ends(model):
    raw = LiteRTModel(emit_tflite(quantized_form(), SIZE))
    for code in (-128, 127):
        assert raw.run(np.full((1, *SIZE, 3), code, np.int8)).dtype == np.int8


@pytest.mark.parametrize("calibration", ["black", "white", "noise of 50"])
def test_images_unlike_those_of_calibration(calibration):
    """Every tensor then leaves its range, and some had next to none."""
    quantized = quantize(deploy_form(), quick_ptq())
    calibrate(quantized, [IMAGES[calibration][None].astype(np.float32)], quick_ptq())
    try:
        content = emit_tflite(quantized, SIZE, input_kind="rgb_uint8")
    except ValueError as error:
        # Steps too far apart for a kernel: said so before a runtime meets them.
        assert "calibrate with images" in str(error) and "Received: " in str(error)
        assert calibration != "noise of 50"
        return
    model = LiteRTModel(content)
    for image in (*IMAGES.values(), *photos(4)):
        assert np.isfinite(model.predict(image[None])).all()
