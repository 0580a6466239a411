import re
import types

import pytest
from ai_edge_litert.interpreter import Interpreter

from care_keras.tflite_file import Operator, Subgraph, Tensor, read_graph
from tests.care_keras.tflite_file.files import FILES, function_file, model_file
from tests.tflite.tiny_models import tiny_model
from tflite.audit import xnnpack_rules
from tflite.audit.xnnpack import delegation
from tflite.audit.xnnpack_rules import likely_reason
from tflite.benchmark import worker


@pytest.fixture(scope="module", params=FILES)
def content(request):
    return model_file(request.param)


@pytest.fixture(scope="module")
def asked(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("xnnpack") / "model.tflite"
    path.write_bytes(content)
    return delegation(path, read_graph(content).main)


def test_delegated_operators_are_those_that_get_a_partition_of_their_own(content, asked):
    """With clustering off, each partition replaces one operator and has its outputs."""
    graph = read_graph(content).main
    interpreter = Interpreter(model_content=content, experimental_disable_delegate_node_fusion=True)
    interpreter.allocate_tensors()
    nodes = interpreter._get_ops_details()[len(graph.operators) :]
    assert {node["op_name"] for node in nodes} == {"DELEGATE"}
    outputs = {tuple(node["outputs"]) for node in nodes}
    alone = {op.index for op in graph.operators if op.outputs in outputs}
    assert asked.error is None
    assert asked.delegated == alone and len(alone) == len(nodes)
    assert set(asked.refused) == {op.index for op in graph.operators} - alone


def test_reasons_hold_for_exactly_the_refused(content, asked):
    graph = read_graph(content).main
    expected = {op.index for op in graph.operators if likely_reason(graph, op) is not None}
    assert expected == set(asked.refused)
    assert all(asked.refused.values())


def test_reasons_of_the_bundled_model(tmp_path):
    path = tmp_path / "nano.tflite"
    path.write_bytes(model_file("nano_int8"))
    graph = read_graph(path).main
    refused = delegation(path, graph).refused
    reasons = {(graph.operators[index].name, reason) for index, reason in refused.items()}
    assert ("GELU", "XNNPACK has GELU in float only, not in int8") in reasons
    assert ("SPLIT_V", "XNNPACK has no SPLIT_V") in reasons


def test_a_loop_is_not_taken_and_the_rest_is(tmp_path):
    path = tmp_path / "loop.tflite"
    path.write_bytes(function_file("while"))
    graph = read_graph(path).main
    asked = delegation(path, graph)
    assert asked.error is None
    assert "XNNPACK has no WHILE" in asked.refused.values()


def test_sizes_may_be_open(tmp_path):
    path = tmp_path / "open.tflite"
    path.write_bytes(tiny_model("open"))
    asked = delegation(path, read_graph(path).main)
    assert (asked.error, asked.delegated, asked.partitions) == (None, {0}, 1)


def test_a_file_that_the_runtime_refuses(tmp_path):
    path = tmp_path / "flex.tflite"
    path.write_bytes(function_file("flex"))
    asked = delegation(path, read_graph(path).main)
    assert asked.error.startswith("LiteRT cannot open the model") and "\n" not in asked.error
    assert not asked.delegated and not asked.refused and asked.partitions == 0


@pytest.mark.parametrize(
    "program, message",
    [
        ("import os; os.abort()", "LiteRT was ended by SIGABRT while running the model"),
        ("import no_such_runtime", "LiteRT ended with exit code 1 .*ModuleNotFoundError"),
        (
            "work = lambda request: {'op_outputs': [], 'delegated': [], 'partitions': 0}",
            "LiteRT's nodes are not the operators of the file",
        ),
    ],
)
def test_a_runtime_that_fails(program, message, tmp_path, monkeypatch):
    script = tmp_path / "worker.py"
    script.write_text(program)
    monkeypatch.setattr(worker, "__file__", str(script))
    asked = delegation(tmp_path / "model.tflite", read_graph(function_file("small")).main)
    assert re.match(message, asked.error)


def one_operator(name, inputs, outputs, constants=(), version=1, **options):
    """A graph of one operator on tensors `(dtype, scale, zero point)`; scale `None` for none."""
    tensors = []
    for index, (dtype, scale, zero_point) in enumerate([*inputs, *outputs]):
        quantization = ((), ()) if scale is None else ((scale,), (zero_point,))
        head = index, f"t{index}", dtype, (2, 2), (2, 2)
        content = b"" if index in constants else None
        tensors.append(Tensor(*head, *quantization, 0, False, False, content))
    indices = tuple(range(len(tensors)))
    arguments = indices[: len(inputs)], indices[len(inputs) :]
    operator = Operator(0, name, version, *arguments, options, None, b"")
    return Subgraph(0, "main", tuple(tensors), (operator,), *arguments), operator


FLOAT, INT8, UINT8 = ("float32", None, 0), ("int8", 0.1, 0), ("uint8", 0.1, 0)
INT32, INT16 = ("int32", None, 0), ("int16", 0.1, 0)


@pytest.mark.parametrize(
    "name, inputs, outputs, constants, options, reason",
    [
        ("ADD", [INT8, INT8], [INT8], (), {}, None),
        ("ADD", [INT16, INT16], [INT16], (), {}, "takes no int16"),
        ("ADD", [INT8, UINT8], [INT8], (), {}, "mixed types int8 and uint8"),
        ("ADD", [INT8, ("int8", 1e-9, 0)], [INT8], (), {}, "quotient of input and output scale"),
        ("MUL", [INT8, ("int8", 1e-9, 0)], [INT8], (), {}, "quotient of input and output scale"),
        ("ELU", [INT8], [INT8], (), {}, None),
        ("EXP", [FLOAT], [FLOAT], (), {}, None),
        ("EXP", [INT8], [INT8], (), {}, "EXP in float only"),
        ("EXPAND_DIMS", [INT8, INT32], [INT8], (1,), {}, "has no EXPAND_DIMS"),
        ("BATCH_MATMUL", [INT8, INT8], [INT8], (), {}, None),
        ("BATCH_MATMUL", [INT8, ("int8", 0.1, 5)], [INT8], (), {}, "zero point other than 0"),
        ("BATCH_MATMUL", [("int8", 0.1, 5), INT8], [INT8], (), {}, None),
        ("CONCATENATION", [INT8] * 5, [INT8], (), {}, None),
        ("CONCATENATION", [INT8] * 6, [INT8], (), {}, "of 2 to 5 inputs, not of 6"),
        ("SPLIT", [INT32, INT8], [INT8] * 5, (0,), {}, "into 2 to 4 outputs, not into 5"),
        ("SPLIT", [INT32, INT8], [INT8] * 2, (), {}, "input 0, a parameter, is not a constant"),
        ("RESHAPE", [INT8, INT32], [("int8", 0.2, 0)], (1,), {}, "between different ranges"),
        ("CONV_2D", [FLOAT, FLOAT], [FLOAT], (1,), {}, "without bias"),
        ("CONV_2D", [FLOAT, INT8, FLOAT], [FLOAT], (1, 2), {}, None),
        ("DEPTHWISE_CONV_2D", [FLOAT, INT8, FLOAT], [FLOAT], (1, 2), {}, "int8 weights"),
        ("SOFTMAX", [FLOAT], [FLOAT], (), {"beta": 0.5}, "beta 1 only, not 0.5"),
        ("QUANTIZE", [FLOAT], [INT8], (), {}, None),
        ("QUANTIZE", [UINT8], [INT8], (), {}, "mixed types int8 and uint8"),
        ("MEAN", [("int8", None, 0), INT32], [INT8], (1,), {}, "without exactly one scale"),
    ],
)
def test_rules(name, inputs, outputs, constants, options, reason):
    found = likely_reason(*one_operator(name, inputs, outputs, constants, **options))
    assert (found is None) == (reason is None), found
    assert reason is None or reason in found


def test_operators_that_feed_one_another_in_a_ring():
    """A damaged file's; of a sound one each comes behind those that it reads."""
    producers = {
        place: types.SimpleNamespace(name="DEQUANTIZE", inputs=(1 - place,)) for place in range(2)
    }
    tensors = [types.SimpleNamespace(is_constant=False)] * 2
    graph = types.SimpleNamespace(tensors=tensors, producers=producers)
    assert not xnnpack_rules._is_static(graph, 0)
