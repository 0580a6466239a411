"""Files of a quantized form with layers in float32 or 16 bits."""

import numpy as np
import pytest

from care_keras.emit.network import emit_tflite
from care_keras.litert.model import LiteRTModel
from care_keras.tflite_file.integer_audit import audit_integer_only
from care_keras.tflite_file.reader import read_graph
from tests.care_keras.emit.test_fidelity import compare, emit
from tests.care_keras.helpers import infer, numpy_of
from tests.care_keras.quantization.samples import SIZE, make_quantized, photos, pixels, quick_ptq

OVERRIDES = {
    "float32": {"*_inter2_expand": "float32", "*_inter2_gelu": "float32", "*_root": "float32"},
    "int16": {
        "*_inter?_expand": "int16",
        "*_pixels": "int16",
        "*_joined": "int16",
        "*_inter2_output": "int16",
        "*_local_*": "int16",
    },
    "both": {"*_inter1_output": "int16", "*_joined": "int16", "*_inter2_expand": "float32"},
}


@pytest.fixture(scope="module", params=OVERRIDES)
def model(request):
    return make_quantized(quick_ptq(overrides=OVERRIDES[request.param]))


def test_each_operation_rounds_as_its_layer_does(model):
    steps = compare(model, emit(model))
    assert len(steps) > 50
    wrong = []
    for step in steps:
        # TFLite's 16-bit kernels multiply by integers: a step or two of 65,536.
        bound = 4 if model.precisions.get(step.layer.name) == "int16" else 1
        if np.abs(step.file - step.keras).max() > bound:
            wrong.append(str(step))
    assert not wrong


def test_the_file_gives_what_the_model_gives(model):
    # Enough of them: in 16 bits some seven in a hundred are so undecided that a tie tells.
    file = LiteRTModel(emit_tflite(model, SIZE, input_kind="rgb_uint8"))
    outputs, expected = file.predict(photos(200)), numpy_of(infer(model, pixels(200)))
    assert np.mean(outputs.argmax(-1) == expected.argmax(-1)) >= 0.9
    assert np.mean((outputs - expected) ** 2) < 0.01 * np.mean(expected**2)


def test_the_audit_sees_layers_in_float(model):
    found = {finding.rule for finding in audit_integer_only(read_graph(emit_tflite(model, SIZE)))}
    assert ("integer-tensors" in found) == ("float32" in model.precisions.values())


def test_conversions_are_made_once(model):
    content = emit_tflite(model, SIZE)
    graph = read_graph(content)
    converted = [
        (operator.name, tuple(operator.inputs), tensor.scales)
        for operator in graph.subgraphs[0].operators
        if operator.name in ("QUANTIZE", "DEQUANTIZE")
        for tensor in graph.subgraphs[0].output_tensors(operator)
    ]
    assert converted and len(set(converted)) == len(converted)
