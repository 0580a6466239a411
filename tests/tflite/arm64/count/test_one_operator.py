"""Operators as files of their own: given the same they give the same."""

import numpy as np
import pytest

from care_keras.litert.file import LiteRTFile
from care_keras.tflite_file import read_graph
from tests.tflite.foreign_models import foreign_tflite
from tests.tflite.tensor_values import random_inputs, values_of
from tests.tflite.tiny_models import tiny_model
from tflite.arm64.count.one_operator import one_operator_files


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda: tiny_model("mixed"), id="mixed"),
        pytest.param(lambda: tiny_model("wide"), id="wide"),
        pytest.param(lambda: foreign_tflite("int8"), id="MobileNetV2 in int8"),
        pytest.param(lambda: foreign_tflite("float16"), id="MobileNetV2 in float16"),
    ],
)
def test_they_give_what_they_give_in_the_whole(content):
    content = content()
    values = values_of(content, random_inputs(content))
    graph = read_graph(content)
    # Of a float16 file the DEQUANTIZEs of weights are done once.
    lasting = [
        one
        for one in graph.main.operators
        if not all(graph.tensors[index].is_constant for index in one.inputs)
    ]
    files = list(one_operator_files(content, values))
    assert [one.label for one in files] == [one.label for one in lasting]
    for file, operator in zip(files, lasting, strict=True):
        # The others make constants.
        *before, last = read_graph(file.content).operators
        assert {one.label for one in before} <= {"DEQUANTIZE"} and last.label == file.label
        cut = LiteRTFile(file.content)
        cut.feed({name: file.inputs[tensor.index] for name, tensor in cut.inputs.items()})
        cut.invoke()
        for index, got in zip(operator.outputs, cut.results().values(), strict=True):
            if got.dtype == np.float32:
                np.testing.assert_allclose(got, values[index], rtol=1e-3, atol=1e-3)
            else:
                np.testing.assert_array_equal(got, values[index])


def test_what_cannot_be_cut_out_is_told():
    content = tiny_model("two")
    values = values_of(content, random_inputs(content))
    first, *_ = read_graph(content).main.operators
    del values[first.inputs[0]]
    files = list(one_operator_files(content, values))
    assert files[0].content is None and files[0].reason.startswith("its input is of the type ")
    assert files[1].content is not None
