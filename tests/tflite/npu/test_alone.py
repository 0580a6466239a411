"""Operators of a file by themselves, and some of them: given the same they give the same."""

import dataclasses

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from care_keras.litert.file import LiteRTFile
from care_keras.tflite_file import read_graph
from care_keras.tflite_file.cutting import cut
from tests.tflite.foreign_models import foreign_tflite
from tests.tflite.tensor_values import random_inputs, values_of
from tests.tflite.tiny_models import tiny_model
from tflite.npu.alone import operators_alone
from tflite.npu.partitions import DISPATCH, partitions_of
from tflite.runs.tensors import readable_tensors

CONTENTS = [
    pytest.param(lambda: tiny_model("mixed"), id="mixed"),
    pytest.param(lambda: foreign_tflite("int8"), id="MobileNetV2 in int8"),
    pytest.param(lambda: foreign_tflite("float16"), id="MobileNetV2 in float16"),
]


def close(got, expected):
    """Equal, or of floats nearly: one operator is fused with fewer others."""
    if expected.dtype == np.float32:
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)
    else:
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("content", CONTENTS)
def test_each_operator_gives_what_it_gives_in_the_file(content):
    content = content()
    graph = read_graph(content)
    values = values_of(content, random_inputs(content))
    changed, sources = operators_alone(content)
    places = [tensor.index for tensor in read_graph(changed).inputs]
    file = LiteRTFile(changed)
    given = dict(zip(places, sources, strict=True))
    file.feed({name: values[given[one.index]] for name, one in file.inputs.items()})
    file.invoke()
    for index in readable_tensors(graph):
        close(file.tensor(index), values[index])
    # What one operator writes, no other reads.
    written = graph.main.producers.keys() - graph.main.constants
    assert not written & {i for one in read_graph(changed).operators for i in one.inputs}


@pytest.mark.parametrize("content", CONTENTS)
def test_two_halves_are_the_whole(content):
    content = content()
    graph, values = read_graph(content), values_of(content, random_inputs(content))
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    constants = graph.main.constants
    makers = [one for one in graph.operators if constants.issuperset(one.outputs)]
    others = [one for one in graph.operators if one not in makers]
    middle = len(others) // 2
    for half in (makers + others[:middle], makers + others[middle:]):
        written = [index for one in half for index in one.outputs]
        read = {index for one in half for index in one.inputs if index >= 0} - set(written)
        inputs = [index for index in sorted(read) if not graph.tensors[index].is_constant]
        piece, place = cut(model, [one.index for one in half], inputs, written[-1:])
        file = LiteRTFile(piece)
        names = {one.index: name for name, one in file.inputs.items()}
        file.feed({names[place[index]]: values[index] for index in inputs})
        file.invoke()
        (result,) = file.results().values()
        close(result, values[written[-1]])


def test_a_partition_that_lies_outside_the_file_is_refused():
    graph = read_graph(tiny_model("mixed"))
    options = flexbuffers.Dumps({"name": "p", "bytecode_offset": 90, "bytecode_size": 20})
    first = dataclasses.replace(
        graph.operators[0],
        custom_code=DISPATCH,
        custom_options=np.frombuffer(bytes(options), np.uint8),
    )
    main = dataclasses.replace(graph.main, operators=(first,))
    damaged = dataclasses.replace(graph, subgraphs=(main,))
    (found,) = partitions_of(bytes(range(110)), damaged)
    assert (found.name, found.content) == ("p", bytes(range(90, 110)))
    with pytest.raises(ValueError, match=r"outside the file. Received: 20 bytes at 90 of 109"):
        partitions_of(bytes(109), damaged)
