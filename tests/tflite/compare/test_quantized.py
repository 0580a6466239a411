"""The bundled model of quantization-aware training against its file."""

from care_keras.emit.network import emit_tflite
from tests.tflite.compare.photos import photos
from tflite.compare.comparison import compare
from tflite.compare.opened import open_pair
from tflite.compare.text import verdict
from tflite.inputs.model_inputs import load_keras


def test_int8_of_quantization_aware_training(tmp_path, monkeypatch):
    path = tmp_path / "nano_int8.tflite"
    model = load_keras("care_nano_cifar10_qat")
    path.write_bytes(emit_tflite(model, (32, 32), input_kind="rgb_uint8"))
    monkeypatch.setattr("tflite.compare.opened.load_keras", lambda name: model)
    pair = open_pair("care_nano_cifar10_qat", path)
    assert pair.file_input.kind == "rgb_uint8"
    result = compare(pair, photos(pair, range(0, 2400, 100)), 2)
    assert (
        pair.min_agreement == 0.98
        and verdict(result, 0.98) is None
        and result.reference == "quantized form"
    )
    layers = result.layers.layers
    assert len(layers) > 300 and not result.layers.decomposed_differently
    assert min(layer.own.codes_equal for layer in layers) > 0.98
    assert max(layer.own.max_code_difference for layer in layers) == 1
    assert result.output.figures.codes_equal > 0.5


def test_int8_of_a_float_model_may_answer_otherwise_more_often(tmp_path):
    path = tmp_path / "nano_int8.tflite"
    path.write_bytes(emit_tflite(load_keras("care_nano_cifar10_qat"), (32, 32)))
    assert open_pair("care_nano_cifar10", path).min_agreement == 0.9
