"""The bundled models against their files."""

import pytest

from care_keras.convert.converter import convert_model
from care_keras.data.sources import open_source
from care_keras.emit.emitter import emit_tflite
from tflite.comparison import compare
from tflite.comparison_pair import open_pair
from tflite.comparison_text import verdict
from tflite.model_inputs import load_keras


@pytest.fixture(scope="module")
def images():
    return open_source("bundled:test").take(range(0, 2400, 100))


def test_float32(tmp_path, images):
    """The file has no description: the model says how images are prepared."""
    path = tmp_path / "nano.tflite"
    model = load_keras("care_nano_cifar10")
    path.write_bytes(convert_model(model, model.preprocessing).content)
    pair = open_pair("care_nano_cifar10", path)
    assert len(pair.delegation.delegated) == len(pair.file.operators)
    result = compare(pair, images, 2)
    assert verdict(result, 1.0) is None and result.output.figures.snr_db > 100.0
    # Every operator of the file is a layer, and is right by itself, but for one: the copy of a
    # tensor that is multiplied with itself.
    assert len(result.layers.layers) == len(pair.file.operators) - 1
    assert min(layer.own.snr_db for layer in result.layers.layers) > 110.0


def test_int8_of_quantization_aware_training(tmp_path, images, monkeypatch):
    path = tmp_path / "nano_int8.tflite"
    model = load_keras("care_nano_cifar10_qat")
    path.write_bytes(emit_tflite(model, (32, 32), input_kind="rgb_uint8"))
    monkeypatch.setattr("tflite.comparison_pair.load_keras", lambda name: model)
    pair = open_pair("care_nano_cifar10_qat", path)
    assert pair.file_input.kind == "rgb_uint8"
    result = compare(pair, images, 2)
    assert verdict(result, 0.98) is None and result.reference == "quantized form"
    layers = result.layers.layers
    assert len(layers) > 300 and not result.layers.decomposed_differently
    assert min(layer.own.codes_equal for layer in layers) > 0.98
    assert max(layer.own.max_code_difference for layer in layers) == 1
    assert result.output.figures.codes_equal > 0.5
