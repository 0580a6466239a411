import numpy as np
import pytest

from care_keras.convert.converter import convert_model
from care_keras.data.preprocessing import normalize
from care_keras.litert import LiteRTModel
from care_keras.metrics import snr_db

# Lowest SNR in dB against the Keras model that each precision was seen to keep, with a margin.
LOWEST_SNR = {"float32": 90.0, "float16": 40.0, "dynamic": 15.0, "int8": 5.0}


@pytest.mark.parametrize("input_kind", ["float", "rgb_uint8"])
@pytest.mark.parametrize("precision", LOWEST_SNR)
def test_outputs_follow_the_keras_model(small_model, preprocessing, photos, precision, input_kind):
    calibration = photos[:32] if precision == "int8" else None
    content = convert_model(
        small_model, preprocessing, precision, input_kind, calibration=calibration
    )
    model = LiteRTModel(content)
    assert model.input.shape == (1, 16, 24, 3)
    assert model.input.dtype == (np.uint8 if input_kind == "rgb_uint8" else np.float32)
    assert model.output.dtype == (np.int8 if precision == "int8" else np.float32)
    held_out = photos[32:]
    inputs = normalize(held_out, preprocessing)
    expected = small_model.predict(inputs, verbose=0)
    outputs = model.predict(held_out if input_kind == "rgb_uint8" else inputs)
    assert snr_db(outputs, expected) > LOWEST_SNR[precision]


def test_codes_of_an_int8_pixel_input_are_the_pixels(small_model, preprocessing, photos):
    content = convert_model(small_model, preprocessing, "int8", "rgb_uint8", calibration=photos[:8])
    model = LiteRTModel(content)
    assert model.input.scale == pytest.approx(1.0, abs=1e-6)
    assert model.input.zero_point == 0


def test_batch_is_the_input_s_first_axis(small_model, preprocessing, photos):
    content = convert_model(small_model, preprocessing, batch=3)
    model = LiteRTModel(content)
    assert model.input.shape == (3, 16, 24, 3)
    inputs = normalize(photos[:7], preprocessing)
    # Seven is no multiple of three: the last batch is padded and cut again.
    np.testing.assert_allclose(
        model.predict(inputs), small_model.predict(inputs, verbose=0), atol=1e-4
    )


def test_conversion_leaves_the_model_as_it_was(small_model, preprocessing, photos):
    inputs = normalize(photos[:2], preprocessing)
    before = small_model.predict(inputs, verbose=0)
    convert_model(small_model, preprocessing, "int8", "float", calibration=photos[:4])
    np.testing.assert_array_equal(small_model.predict(inputs, verbose=0), before)


@pytest.mark.parametrize("scale", [0.0, 0.01, 1.0, 30.0])
def test_int8_runs_on_odd_inputs(small_model, preprocessing, photos, scale):
    content = convert_model(small_model, preprocessing, "int8", "float", calibration=photos[:16])
    model = LiteRTModel(content)
    rng = np.random.default_rng(0)
    noise = scale * rng.standard_normal((4, 16, 24, 3)).astype(np.float32)
    assert np.all(np.isfinite(model.predict(noise)))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"precision": "int4"}, "`precision` must be one of"),
        ({"input_kind": "bgr"}, "`input_kind` must be one of"),
        ({"precision": "int8"}, "int8 needs images"),
    ],
)
def test_bad_arguments(small_model, preprocessing, arguments, message):
    with pytest.raises(ValueError, match=message + r".*Received: "):
        convert_model(small_model, preprocessing, **arguments)
