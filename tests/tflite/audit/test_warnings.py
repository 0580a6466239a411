from collections import Counter

from ai_edge_litert import schema_py_generated as schema

from care_keras.tflite_file import read_graph
from tests.care_keras.tflite_file.files import edited, function_file, model_file
from tflite.audit.warnings import WARNING_RULES, warnings


def found(content):
    """How often each rule warns."""
    return Counter(f.rule for f in warnings(read_graph(content)) if f.severity == "warning")


def test_a_good_file_has_none():
    assert found(model_file("mobilenet_int8")) == {}
    assert found(function_file("small")) == {}


def test_the_plain_conversion_of_the_bundled_model():
    int8 = found(model_file("nano_int8"))
    # Twelve ELU between a DEQUANTIZE and a QUANTIZE each, and what the converter has no kernel for.
    assert int8["float-islands"] >= 12 and int8["depthwise-taps"] == 8
    assert int8["int8-div"] == 6 and int8["batch-matmul-zero-point"] > 0
    # In float32 there is no island, and DIV does no harm.
    assert found(model_file("nano_float32")) == {"depthwise-taps": 8}


def test_an_island_is_told_as_one_with_all_its_operators():
    graph = read_graph(model_file("nano_int8"))
    islands = [f for f in warnings(graph) if f.rule == "float-islands"]
    elu = [f for f in islands if f.message == "float island of 1 ELU"]
    assert len(elu) == 12
    assert all(graph.operators[finding.operator].name == "ELU" for finding in elu)
    floats = [
        op
        for op in graph.operators
        if op.name not in ("QUANTIZE", "DEQUANTIZE")
        and any(t.dtype == "float32" for t in graph.main.output_tensors(op))
    ]
    parts = [
        part for f in islands for part in f.message.removeprefix("float island of ").split(", ")
    ]
    listed = sum(int(part.split()[0]) for part in parts)
    assert listed == len(floats) >= 12


def test_float_inputs_and_outputs_are_no_island():
    """QUANTIZE at the input and DEQUANTIZE at the output, as the converter makes by default."""

    def borders(model):
        graph = model.subgraphs[0]
        for tensor, name in ((graph.inputs[0], "QUANTIZE"), (graph.outputs[0], "DEQUANTIZE")):
            code = schema.OperatorCodeT()
            code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
            model.operatorCodes.append(code)
            border = schema.TensorT()
            border.name, border.shape = name.lower(), graph.tensors[tensor].shape
            graph.tensors.append(border)
            operator = schema.OperatorT()
            operator.opcodeIndex = len(model.operatorCodes) - 1
            index = len(graph.tensors) - 1
            if name == "QUANTIZE":
                operator.inputs, operator.outputs = [index], [tensor]
                graph.inputs, graph.operators = [index], [operator, *graph.operators]
            else:
                operator.inputs, operator.outputs = [tensor], [index]
                graph.outputs, graph.operators = [index], [*graph.operators, operator]

    content = edited(model_file("mobilenet_int8"), borders)
    assert read_graph(content).inputs[0].dtype == "float32"
    assert found(content) == {}


def test_open_sizes():
    (finding,) = warnings(read_graph(function_file("open")))
    assert finding.rule == "dynamic-shapes" and "(?, 4, 4, 4)" in finding.message
    assert finding.advice


def test_foreign_operators():
    assert found(function_file("flex")) == {"builtin-operators": 1}


def test_each_warning_says_why():
    names = [rule.name for rule in WARNING_RULES]
    assert len(set(names)) == len(names)
    assert all(len(rule.reason) > 40 for rule in WARNING_RULES)
