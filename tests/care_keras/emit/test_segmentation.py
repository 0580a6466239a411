"""A segmentation model in .tflite files: floats as Keras gives them, integers as the reference."""

import keras
import numpy as np
import pytest

from care_keras.data.preprocessing import normalize
from care_keras.deploy import fuse
from care_keras.emit.network import emit_tflite
from care_keras.litert.model import LiteRTModel
from care_keras.metrics import snr_db
from care_keras.models import CARE_Nano, SemanticFPN
from care_keras.models.config import CARE_NANO
from care_keras.quantization import calibrate, quantize
from care_keras.reference import IntegerModel
from care_keras.tflite_file import audit_integer_only, read_graph
from tests.care_keras.helpers import infer, numpy_of
from tests.care_keras.quantization.samples import photos, quick_ptq

SIZE = (32, 48)


@pytest.fixture(scope="module", params=["lite", "paper"])
def model(request):
    """On the bundled backbone, with a drawn head."""
    keras.utils.set_random_seed(0)
    backbone = CARE_Nano(include_top=False, weights="cifar10")
    return SemanticFPN(backbone, 4, head=request.param, preprocessing=CARE_NANO.preprocessing)


def logits_of(model, images):
    return numpy_of(infer(model, normalize(images, CARE_NANO.preprocessing)))


def test_floats(model):
    file = LiteRTModel(emit_tflite(fuse(model), SIZE, input_kind="rgb_uint8"))
    given = np.concatenate([file.predict(image[None]) for image in photos(4)])
    assert given.shape == (4, 16, 24, 4)
    assert snr_db(given, logits_of(model, photos(4))) > 80


def test_integers(model):
    quantized = quantize(fuse(model), quick_ptq())
    calibrate(quantized, [photos(16).astype(np.float32)], quick_ptq())
    content = emit_tflite(quantized, SIZE, input_kind="rgb_uint8")
    assert not audit_integer_only(read_graph(content))
    file, reference = LiteRTModel(content), IntegerModel(content)
    codes = np.concatenate([file.run(image[None]) for image in photos(4)])
    np.testing.assert_array_equal(reference.run(photos(4)), codes)
    # A drawn head makes much of little: what int8 itself loses is not looked at here.
    assert snr_db(file.output.dequantize(codes), logits_of(model, photos(4))) > 8
