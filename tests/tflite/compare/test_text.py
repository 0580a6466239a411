"""What is told of a comparison: verdict, tables, JSON."""

import dataclasses
import json

import pytest

from tests.tflite.compare.test_faults import shifted, shuffled, with_constant, writer_of
from tests.tflite.compare.test_layers import content, layers_and_pair
from tests.tflite.compare.test_names import RECORD, network
from tflite.compare.text import format_comparison, to_dict, verdict


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return layers_and_pair(network(), content("foreign"), tmp_path_factory.mktemp("whole"), RECORD)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """One channel of a layer, and all of a later one."""
    data = content("foreign")
    later = writer_of(data, "functional_1/inner_1/conv2d_1_1/convolution")
    data = with_constant(data, writer_of(data, "functional_1/re_lu_1_2/"), 2, shifted)
    data = with_constant(data, later, 1, shuffled)
    return layers_and_pair(network(), data, tmp_path_factory.mktemp("broken"), RECORD)


def with_output(result, **fields):
    output = dataclasses.replace(result.output, **fields)
    return dataclasses.replace(result, output=output, outputs=(output,))


def test_every_output_is_judged(whole):
    """A number alone has no class to agree, and is not the worst by that."""
    result = dataclasses.replace(whole[0], layers=None)
    noisy = dataclasses.replace(result.output.figures, total_snr_db=-6.0)
    age = dataclasses.replace(result.output, name="age", agreement=None, figures=noisy)
    scores = dataclasses.replace(result.output, name="scores", agreement=0.99)
    both = dataclasses.replace(result, output=scores, outputs=(scores, age))
    assert verdict(both, 0.98) == "the output of age has an SNR of -6.0 dB, 60 dB are asked for"


def test_verdict_of_a_whole_file(whole):
    result, _ = whole
    assert verdict(result, 0.98) is None
    text = verdict(with_output(result, agreement=0.5), 0.98)
    assert text.startswith("the largest output agrees for 50.00% of the images, 98.00% are asked")
    assert "no layer computes wrongly, most is lost in " in text and " dB)" in text


def test_verdict_of_a_broken_file(broken):
    result, _ = broken
    text = verdict(with_output(result, agreement=1.0), 0.98)
    start = "the first layer that goes wrong is re_lu_1 (CONV_2D, operator 1): own SNR "
    assert text.startswith(start)
    assert " dB, 60 dB are asked for; 1 of 8 channels are wrong, the worst is 1 with " in text
    both = verdict(with_output(result, agreement=0.2), 0.98)
    assert both.startswith("the largest output agrees for 20.00% ") and both.endswith(text)


def test_verdict_without_layers_or_classes(whole):
    result = dataclasses.replace(whole[0], layers=None)
    assert verdict(with_output(result, agreement=None), 0.98) is None
    assert verdict(with_output(result, agreement=0.5), 0.98).endswith("98.00% are asked for")
    figures = dataclasses.replace(result.output.figures, max_difference=float("inf"))
    assert "not finite" in verdict(with_output(result, figures=figures), 0.98)


def test_tables(whole, broken):
    result, pair = broken
    text = format_comparison(pair, result, all_layers=False)
    assert max(len(line) for line in text.splitlines()) <= 110
    assert "the 10 of 13 layers that lose most" in text
    rows = [line for line in text.splitlines() if "WRONG" in line]
    assert len(rows) == 2 and any(row.startswith("re_lu_1  WRONG") for row in rows)
    assert "same output to the bit on 4 of 4 images" in text
    everything = format_comparison(pair, result, all_layers=True)
    assert everything.index("re_lu_2 ") < everything.index("add ") < everything.index("dense ")
    no_layers = dataclasses.replace(whole[0], layers=None)
    assert "no graph of layers" in format_comparison(whole[1], no_layers, all_layers=False)


def test_json(broken):
    result, pair = broken
    content = json.loads(json.dumps(to_dict(pair, result, {"seed": 0}, "why"), allow_nan=False))
    assert content["passed"] is False and content["failure"] == "why"
    assert content["first_wrong_layer"] == "re_lu_1"
    assert [x["name"] for x in content["layers"] if not x["right"]] == [
        "re_lu_1",
        "conv2d_1 (before silu)",
    ]
    own = content["layers"][1]["own"]
    assert own["wrong_channels"] == 1 and own["worst_channel"] == 1 and own["channels"] == 8
    assert content["output"]["images"] == 4 and content["versions"]["keras_backend"]
