"""Ablations as .tflite files, float32 and int8."""

import numpy as np
import pytest

from care_keras.deploy import fuse
from care_keras.emit.network import emit_tflite
from care_keras.litert.model import LiteRTModel
from care_keras.metrics import snr_db
from care_keras.quantization import QuantizationConfig, calibrate, quantize
from care_keras.reference import IntegerModel
from care_keras.tflite_file import audit_integer_only, read_graph
from tests.care_keras.helpers import TINY_ABLATIONS, infer, numpy_of, tiny_ablation
from tests.care_keras.quantization.samples import SIZE, normalized, photos, pixels

# Ranges that are found quickly: any do for a comparison of a form with its file.
QUICK = QuantizationConfig(observer="min_max", refine_attention=False, correct_biases=False)
IMAGES = 4


@pytest.fixture(scope="module", params=TINY_ABLATIONS)
def deployed(request):
    return fuse(tiny_ablation(request.param, classes=10))


def test_a_float32_file_is_the_deploy_form(deployed):
    expected = numpy_of(infer(deployed, normalized(IMAGES)))
    outputs = LiteRTModel(emit_tflite(deployed, SIZE)).predict(normalized(IMAGES))
    assert np.abs(outputs - expected).max() <= 1e-4 * max(1.0, np.abs(expected).max())


def test_an_int8_file_is_integer_only_and_the_quantized_form(deployed):
    model = quantize(deployed, QUICK)
    calibrate(model, [pixels(IMAGES)], QUICK)
    content = emit_tflite(model, SIZE, input_kind="rgb_uint8")
    assert all(x.severity == "info" for x in audit_integer_only(read_graph(content)))
    outputs = LiteRTModel(content).predict(photos(IMAGES))
    assert snr_db(outputs, numpy_of(infer(model, pixels(IMAGES)))) > 25.0
    np.testing.assert_array_equal(IntegerModel(model, SIZE).predict(photos(IMAGES)), outputs)
    assert len(np.unique(outputs)) > IMAGES
