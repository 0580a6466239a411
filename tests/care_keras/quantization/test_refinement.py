"""Ranges inside attention: which they are, and that choosing them helps and hurts nobody."""

import keras
import numpy as np
import pytest

from care_keras import primitives as p
from care_keras.deploy import fuse
from care_keras.quantization import FakeQuant, QuantizationConfig, quantize
from care_keras.quantization.refinement import find_attention, refine, round_to_codes
from tests.care_keras.helpers import numpy_of, tiny_backbone
from tests.care_keras.quantization.samples import graph_of, make_quantized, pixels


def test_there_is_a_segment_for_each_attention():
    segments = find_attention(quantize(fuse(tiny_backbone(depths=(1, 2)))))
    assert len(segments) == 2
    first, second = ({step[2] for step in segment.steps} for segment in segments)
    assert not first & second
    assert not find_attention(quantize(fuse(tiny_backbone(head_dims=(None, None)))))


@pytest.fixture
def calibrated():
    """A form whose ranges are those of the histograms, its segment and the segment's input."""
    model = make_quantized(QuantizationConfig(refine_attention=False))
    (segment,) = find_attention(model)
    start = keras.Model(model.input, model.get_layer(segment.start).output)
    return model, segment, numpy_of(start(pixels(8)))


def test_a_segment_is_all_of_an_attention(calibrated):
    model, segment, inputs = calibrated
    kinds = [type(layer) for layer, _, _ in segment.steps]
    assert kinds.count(p.MatMul) == 3 and p.UnflattenPixels not in kinds
    assert segment.start not in {name for _, _, name in segment.steps}
    (end,) = [x for x in model.layers if isinstance(x, p.UnflattenPixels)]
    result = keras.Model(model.input, end.output)
    # Rounded as the model rounds, a segment gives what the model gives.
    parameters = {
        layer.name: layer.parameters()
        for layer, _, _ in segment.steps
        if isinstance(layer, FakeQuant)
    }
    outputs = numpy_of(
        segment.run({segment.start: keras.ops.convert_to_tensor(inputs)}, parameters)
    )
    expected = numpy_of(result(pixels(8))).reshape(outputs.shape)
    step = parameters[segment.steps[-1][0].name][0]
    differing = np.abs(outputs - expected) > 0.01 * step
    assert differing.mean() < 0.01 and np.abs(outputs - expected).max() < 2.01 * step


def test_refining_lowers_the_error_and_leaves_others_alone(calibrated):
    model, segment, inputs = calibrated
    ranges = {x.name: x.range() for x in model.layers if isinstance(x, FakeQuant)}
    tensor = keras.ops.convert_to_tensor(inputs)
    reference = segment.run({segment.start: tensor})

    def error():
        parameters = {
            layer.name: layer.parameters()
            for layer, _, _ in segment.steps
            if isinstance(layer, FakeQuant)
        }
        difference = numpy_of(segment.run({segment.start: tensor}, parameters) - reference)
        return float(np.mean(difference**2) / np.mean(numpy_of(reference) ** 2))

    started = error()
    before, after = refine(segment, inputs)
    assert before == pytest.approx(started, rel=1e-3)
    assert after <= before and error() == pytest.approx(after, rel=1e-3)
    own = {layer.name for layer in segment.own}
    changed = {
        x.name for x in model.layers if isinstance(x, FakeQuant) and x.range() != ranges[x.name]
    }
    assert changed and changed <= own
    # Refined again, the error does not rise either.
    again = refine(segment, inputs)
    assert again[1] <= again[0] == pytest.approx(after, rel=1e-3)


def test_a_range_that_others_share_is_not_the_segment_s_own(calibrated):
    model, segment, _ = calibrated
    inside = {name for _, _, name in segment.steps}
    outside = {
        layer.name
        for layer, _, output in graph_of(model)
        if isinstance(layer, FakeQuant) and output not in inside
    }
    own = {layer.name for layer in segment.own}
    assert own and not own & outside
    within = {layer.name for layer, _, _ in segment.steps if isinstance(layer, FakeQuant)}
    # Attention's result is joined with the local branches, and has their range.
    assert within & outside and within - outside == own


def test_rounding_is_that_of_the_layer():
    layer = FakeQuant()
    layer.build((None, 3))
    layer.set_range(-0.7, 1.3)
    values = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    rounded = round_to_codes(keras.ops.convert_to_tensor(values), *layer.parameters())
    np.testing.assert_allclose(numpy_of(rounded), numpy_of(layer(values)), atol=1e-6)
