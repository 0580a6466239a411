"""Each operation of an int8 file against its layer in the quantized form.

A layer is given what the file gave the operation, so that nothing adds up: what
differs is that operation's own rounding.
"""

import dataclasses

import numpy as np
import pytest
from keras import ops

from care_keras import primitives as p
from care_keras.emit.network import emit_tflite
from care_keras.litert.layer_runner import LayerRunner, layer_differences
from care_keras.quantization import FakeQuant
from tests.care_keras.helpers import numpy_of
from tests.care_keras.quantization.samples import (
    KEEPS_VALUES,
    SIZE,
    deploy_form,
    graph_of,
    make_quantized,
    photos,
    quantized_form,
)

IMAGES = 16
KINDS = (
    p.Conv2D,
    p.DepthwiseConv2D,
    p.Gelu,
    p.Elu,
    p.Rsqrt,
    p.Softmax,
    p.Add,
    p.AddOne,
    p.ChannelScale,
    p.Subtract,
    p.Multiply,
    p.MatMul,
    p.Mean,
    p.SumOverPixels,
)


@dataclasses.dataclass(frozen=True)
class Step:
    """Codes of one operation: those of the file and those of the layer."""

    layer: object
    file: np.ndarray
    keras: np.ndarray

    def __str__(self):
        difference = np.abs(self.file - self.keras)
        return (
            f"{self.layer.name}: {np.count_nonzero(difference)} of {difference.size} codes differ, "
            f"by {difference.max()} at most"
        )


def emit(model) -> bytes:
    return emit_tflite(model, SIZE, all_tensors=True)


def compare(model, content) -> list[Step]:
    """Every operation of a quantized form, on the values that its file has."""
    runner = LayerRunner(content)
    images = (photos(IMAGES).astype(np.int16) - 128).astype(np.int8)
    runs = [runner.codes(image[None]) for image in images]
    codes = {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}
    values = {name: runner.tensors[name].dequantize(array) for name, array in codes.items()}
    values["images"] = photos(IMAGES).astype(np.float32)
    steps = graph_of(model)
    ranges = {
        (sources[0], layer.bits): layer
        for layer, sources, _ in steps
        if isinstance(layer, FakeQuant)
    }
    compared = []
    for layer, sources, output in steps:
        if isinstance(layer, FakeQuant):
            # What the file converted to these codes, or had in them.
            tensor = sources[0].split("/")[0]
            values[output] = values.get(f"{tensor}/int{layer.bits}", values[tensor])
            continue
        inputs = [ops.convert_to_tensor(values[source]) for source in sources]
        outputs = layer(inputs if len(inputs) > 1 else inputs[0])
        info = runner.tensors[output]
        if not info.scale:
            continue
        found = ranges.get((output, 8 * info.dtype.itemsize))
        if found:
            outputs = found(outputs)
            assert (np.float32(info.scale), info.zero_point) == found.parameters()
        expected = np.rint(numpy_of(outputs) / np.float32(info.scale)) + info.zero_point
        compared.append(Step(layer, codes[output].astype(int), expected.astype(int)))
    return compared


@pytest.fixture(scope="module")
def compared():
    softmax = make_quantized(activation="softmax")
    return compare(quantized_form(), emit(quantized_form())) + compare(softmax, emit(softmax))[-1:]


def steps_of(compared, kind):
    return [step for step in compared if isinstance(step.layer, kind)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_operation_rounds_as_its_layer_does(compared, kind):
    steps = steps_of(compared, kind)
    assert steps
    wrong = [
        str(step)
        for step in steps
        if np.abs(step.file - step.keras).max() > 1
        or np.count_nonzero(step.file != step.keras) > max(1, 0.005 * step.file.size)
    ]
    assert not wrong


def test_what_moves_numbers_changes_none(compared):
    steps = steps_of(compared, KEEPS_VALUES)
    assert len(steps) > 10
    assert not [str(step) for step in steps if (step.file != step.keras).any()]


def test_every_operation_was_compared(compared):
    known = (*KINDS, *KEEPS_VALUES)
    assert not [step.layer.name for step in compared if not isinstance(step.layer, known)]


def test_a_fault_of_one_step_is_found_where_it_is():
    """The bias of one layer is half an output code larger than in the file."""
    model = quantized_form()
    content = emit(model)
    layer = model.get_layer("stage1_block1_inter1_expand")
    step = model.get_layer("stage1_block1_inter1_expand_range").parameters()[0]
    bias = numpy_of(layer.bias)
    layer.bias.assign(bias + np.float32(0.5) * step)
    differing = [x.layer.name for x in compare(model, content) if (x.file != x.keras).mean() > 0.1]
    layer.bias.assign(bias)
    assert differing == [layer.name]


def test_tensors_are_used(compared):
    """Codes that are all alike would agree whatever the operation did."""
    for step in compared:
        assert len(np.unique(step.file)) > 1, step.layer.name


def test_int8_against_float32_layer_by_layer():
    reference, other = (
        LayerRunner(emit_tflite(model, SIZE, input_kind="rgb_uint8", all_tensors=True))
        for model in (deploy_form(), quantized_form())
    )
    differences = {x.name: x for x in layer_differences(reference, other, photos(4))}
    assert "stem_conv" in differences and "classifier_logits" in differences
    assert differences["stem_conv"].snr_db > 30.0
    assert differences["classifier_logits"].snr_db > 8.0
    assert all(0.0 <= x.max_difference < np.inf for x in differences.values())
