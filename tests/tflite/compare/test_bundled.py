"""The bundled float model against its file."""

from care_keras.convert.conversion import convert_model
from tests.tflite.compare.photos import photos
from tflite.compare.comparison import compare
from tflite.compare.opened import open_pair
from tflite.compare.text import verdict
from tflite.inputs.model_inputs import load_keras


def test_float32(tmp_path):
    """The file has no description: the model says how images are prepared."""
    path = tmp_path / "nano.tflite"
    model = load_keras("care_nano_cifar10")
    path.write_bytes(convert_model(model, model.preprocessing).content)
    pair = open_pair("care_nano_cifar10", path)
    assert len(pair.delegation.delegated) == len(pair.file.operators)
    result = compare(pair, photos(pair, range(0, 2400, 100)), 2)
    assert verdict(result, 1.0) is None and result.output.figures.snr_db > 100.0
    # Every operator of the file is a layer, and is right by itself.
    assert len(result.layers.layers) == len(pair.file.operators)
    assert min(layer.own.snr_db for layer in result.layers.layers) > 110.0
