"""The report on an int8 file: that it names the layer that is at fault."""

import json

import pytest
from PIL import Image

from care_keras.convert.report import FILES, write_report
from care_keras.quantization import QuantizationConfig
from care_keras.tflite_file.finding import Finding
from tests.care_keras.quantization.samples import make_quantized, pixels

FINDING = Finding("no-div", "error", "DIV gives up where a divisor is 0", "fuse the model")
SIZE = (32, 48)


@pytest.fixture(scope="module")
def model():
    return make_quantized(QuantizationConfig(refine_attention=False))


def test_the_layer_at_fault_is_the_worst(model, tmp_path):
    name = "stage2_block1_inter1_depthwise"
    fake_quant = model.get_layer(f"{name}_range")
    good = fake_quant.range()
    fake_quant.set_range(good[0] / 1000, good[1] / 1000)
    try:
        worst = write_report(tmp_path, "m.tflite", model, [FINDING], {"images": pixels(4)}, SIZE)
    finally:
        fake_quant.set_range(*good)
    assert worst[0].name == name and worst[0].snr_db < 1.0 < worst[-1].snr_db
    assert len(worst) == 10 and len({layer.name for layer in worst}) == 10

    content = json.loads((tmp_path / "report.json").read_text())
    assert content["worst_layers"] == [layer.name for layer in worst]
    assert content["audit"][0]["message"] == FINDING.message
    names = [layer["name"] for layer in content["layers"]]
    assert names.index("stem_conv") == 0 and names[-1] == "classifier_logits"
    text = (tmp_path / "report.txt").read_text()
    assert text.index(name) < text.index(worst[1].name) and f"error: {FINDING.message}" in text
    with Image.open(tmp_path / "layers.png") as picture:
        assert picture.size[0] > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


def test_a_good_file_has_no_such_layer(model, tmp_path):
    worst = write_report(tmp_path, "m.tflite", model, [], {"images": pixels(4)}, SIZE)
    assert worst[0].snr_db > 5.0
    assert "nothing: it is integer-only" in (tmp_path / "report.txt").read_text()
