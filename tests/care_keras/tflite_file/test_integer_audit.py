from collections import Counter

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from care_keras.layers import LinearAttention
from care_keras.tflite_file import (
    NotIntegerOnlyError,
    audit_integer_only,
    read_graph,
    require_integer_only,
)
from care_keras.tflite_file.integer_audit import INTEGER_ONLY_RULES, advise
from care_keras.tflite_file.rules import RULES
from tests.care_keras.tflite_file.files import (
    add_code,
    edited,
    function_file,
    model_file,
    nano_model,
)


def errors(content, severity="error"):
    """How often each rule found an error."""
    findings = audit_integer_only(read_graph(content))
    return Counter(finding.rule for finding in findings if finding.severity == severity)


def warnings(content):
    """How often each rule found what is slow or fragile, and integer-only even so."""
    require_integer_only(read_graph(content))
    return errors(content, "warning")


def change(edit):
    """The integer-only foreign file after a change to its graph."""

    def apply(model):
        edit(model, Operators(model), model.subgraphs[0])

    return edited(model_file("mobilenet_int8"), apply)


class Operators:
    """Finds operators of a model by name."""

    def __init__(self, model):
        codes = vars(schema.BuiltinOperator)
        self._numbers = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in model.operatorCodes]
        self._codes, self._operators = codes, model.subgraphs[0].operators

    def __call__(self, name):
        wanted = self._codes[name]
        return [op for op in self._operators if self._numbers[op.opcodeIndex] == wanted]


def test_an_integer_only_file_passes():
    graph = read_graph(model_file("mobilenet_int8"))
    assert {tensor.dtype for tensor in graph.tensors} == {"int8", "int32"}
    assert require_integer_only(graph) == []


def test_the_plain_conversion_of_the_bundled_model_has_it_all():
    """Counts follow from the Keras model: each attention has two ELU, one DIV, two matmuls."""
    graph = read_graph(model_file("nano_int8"))
    found = errors(model_file("nano_int8")) + errors(model_file("nano_int8"), "warning")
    attentions = sum(isinstance(x, LinearAttention) for x in nano_model()._flatten_layers())
    wide = [w for w in nano_model().weights if w.shape[:2] == (7, 7)]
    floats = [tensor for tensor in graph.tensors if tensor.dtype == "float32"]
    assert found["no-float-elu"] == 2 * attentions == 12
    assert found["no-div"] == attentions
    assert found["depthwise-taps"] == len(wide) == 8
    assert found["integer-tensors"] == len(floats) > 0
    assert found["no-dequantize"] == sum(op.name == "DEQUANTIZE" for op in graph.operators)
    assert 0 < found["batch-matmul-zero-point"] <= 2 * attentions
    with pytest.raises(NotIntegerOnlyError, match="12 no-float-elu .first: ELU in float32.") as e:
        require_integer_only(graph)
    assert str(e.value).endswith(f"Received: {graph.size_bytes} bytes")
    assert len(e.value.findings) >= sum(found.values())


def test_a_float_file_fails_at_every_tensor():
    graph = read_graph(model_file("nano_float32"))
    floats = sum(tensor.dtype == "float32" for tensor in graph.tensors)
    assert errors(model_file("nano_float32"))["integer-tensors"] == floats > 400


def test_findings_name_the_place_and_the_way_out():
    graph = read_graph(model_file("nano_int8"))
    for finding in audit_integer_only(graph):
        assert finding.message and "\n" not in finding.message
        if finding.severity != "info":
            assert finding.advice
        if finding.operator is not None:
            assert graph.operators[finding.operator].label == finding.operator_name
    div = next(f for f in audit_integer_only(graph) if f.rule == "no-div")
    assert div.tensor in {tensor.name for tensor in graph.tensors}


@pytest.mark.parametrize(
    ("dtype", "found"),
    [
        *((name, {}) for name in ("UINT8", "INT16", "INT64", "UINT32", "BOOL", "RESOURCE")),
        *((name, {"integer-tensors": 1}) for name in ("FLOAT32", "FLOAT16", "STRING")),
    ],
)
@pytest.mark.parametrize("where", ["input", "inside", "output"])
def test_tensors_by_their_types(dtype, found, where):
    def edit(model, operators, graph):
        inside = operators("ADD")[0].outputs[0]
        index = {"input": graph.inputs[0], "inside": inside, "output": graph.outputs[0]}[where]
        graph.tensors[index].type = getattr(schema.TensorType, dtype)

    assert errors(change(edit)) == found


def quantize(source_type, target_type, position):
    """Turns an operator of the graph into QUANTIZE between two types."""

    def edit(model, operators, graph):
        code = add_code(model, "QUANTIZE")
        operator = graph.operators[0] if position == "input" else operators("ADD")[0]
        source, target = graph.inputs[0], operator.outputs[0]
        if position == "inside":
            source = operator.inputs[0]
        operator.opcodeIndex, operator.inputs = code, [source]
        operator.builtinOptions, operator.builtinOptionsType = None, 0
        graph.tensors[source].type = getattr(schema.TensorType, source_type)
        graph.tensors[target].type = getattr(schema.TensorType, target_type)

    return change(edit)


def test_quantize_of_float_is_found():
    assert errors(quantize("UINT8", "INT8", "input")) == {}
    assert errors(quantize("FLOAT32", "INT8", "input")) == {
        "integer-tensors": 1,
        "no-float-quantize": 1,
    }
    assert errors(quantize("FLOAT32", "INT8", "inside"))["no-float-quantize"] == 1
    assert errors(quantize("UINT8", "INT8", "inside")) == {}


def test_quantize_between_int8_tensors_is_counted():
    content = quantize("INT8", "INT8", "inside")
    (finding,) = audit_integer_only(read_graph(content))
    assert (finding.rule, finding.severity) == ("requantize", "info")
    assert finding.message == "QUANTIZE from int8 to int8, once"
    assert require_integer_only(read_graph(content)) == [finding]


def test_a_zero_point_on_the_right_of_a_matmul():
    def matmul(zero_point):
        def edit(model, operators, graph):
            operator = operators("FULLY_CONNECTED")[0]
            operator.opcodeIndex = add_code(model, "BATCH_MATMUL")
            operator.inputs = operator.inputs[:2]
            operator.builtinOptions, operator.builtinOptionsType = None, 0
            graph.tensors[operator.inputs[1]].quantization.zeroPoint = [zero_point]

        return change(edit)

    assert warnings(matmul(0)) == {}
    assert warnings(matmul(-3)) == {"batch-matmul-zero-point": 1}


def test_div_and_dequantize_and_elu():
    def becomes(name, dtype):
        def edit(model, operators, graph):
            operator = operators("ADD")[0]
            operator.opcodeIndex = add_code(model, name)
            operator.builtinOptions, operator.builtinOptionsType = None, 0
            graph.tensors[operator.outputs[0]].type = getattr(schema.TensorType, dtype)

        return change(edit)

    assert warnings(becomes("DIV", "INT8")) == {"no-div": 1}
    assert errors(becomes("DIV", "FLOAT32")) == {"integer-tensors": 1}
    assert errors(becomes("ELU", "INT8")) == {}
    assert errors(becomes("ELU", "FLOAT32")) == {"integer-tensors": 1, "no-float-elu": 1}
    assert errors(becomes("DEQUANTIZE", "INT8")) == {"no-dequantize": 1}


def test_depthwise_kernels_by_their_taps():
    def widen(height, width):
        def edit(model, operators, graph):
            weights = graph.tensors[operators("DEPTHWISE_CONV_2D")[0].inputs[1]]
            channels = weights.shape[-1]
            weights.shape = [1, height, width, channels]
            model.buffers[weights.buffer].data = np.zeros(height * width * channels, np.uint8)

        return change(edit)

    assert warnings(widen(5, 5)) == {} == warnings(widen(11, 1))
    assert warnings(widen(13, 2)) == {"depthwise-taps": 1}
    (line,) = advise(audit_integer_only(read_graph(widen(13, 2))))
    assert line.startswith("DEPTHWISE_CONV_2D of 13x2 = 26 taps: write it as a sum of")


@pytest.mark.parametrize("kind", ["custom", "flex"])
def test_foreign_operators(kind):
    (finding,) = [
        finding
        for finding in audit_integer_only(read_graph(function_file(kind)))
        if finding.rule == "builtin-operators"
    ]
    assert finding.message.startswith(f"{kind.capitalize() if kind == 'flex' else kind} operator")


def test_bodies_of_loops_are_looked_at():
    findings = audit_integer_only(read_graph(function_file("while")))
    assert {finding.subgraph for finding in findings if finding.severity == "error"} == {0, 1, 2}


def test_each_rule_says_why():
    assert set(INTEGER_ONLY_RULES) <= set(RULES)
    for name, rule in RULES.items():
        assert rule.name == name and len(rule.reason) > 40
