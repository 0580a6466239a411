"""Each operator of a .tflite file as a file of its own."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from care_keras.tflite_file import Operator, Subgraph, read_graph
from care_keras.tflite_file.cutting import cut
from care_keras.tflite_file.writer import unpack


@dataclasses.dataclass(frozen=True, eq=False)
class OneOperator:
    """An operator as a file of its own.

    Attributes:
        label: `"CONV_2D"`.
        content: The file, or `None` where it cannot be one.
        inputs: What the file's inputs are given, by the tensor's index in it.
        reason: Why it cannot be one.
    """

    label: str
    content: bytes | None
    inputs: Mapping[int, np.ndarray]
    reason: str | None = None


def one_operator_files(content: bytes, values: Mapping[int, np.ndarray]) -> Iterator[OneOperator]:
    """Cuts a file into files of one operator each, in the order of execution.

    An operator of constants alone, as the DEQUANTIZE of float16 weights, has no file of its own:
    runtimes compute it once, before the first inference. It goes with those that read it.

    Args:
        content: The file.
        values: What its tensors hold in an inference, by index: the inputs of the file and
            `readable_tensors`.

    Raises:
        ValueError: If the file is damaged.
    """
    graph = read_graph(content).main
    model = unpack(content)
    constant = graph.constants
    for operator in graph.operators:
        inputs = _given(operator.inputs)
        if inputs and constant.issuperset(inputs):
            continue
        if reason := _obstacle(graph, inputs, constant, values):
            yield OneOperator(operator.label, None, {}, reason)
        else:
            variable = sorted(set(inputs) - constant)
            operators = [one.index for one in _with_constants(graph, operator, constant)]
            file, place = cut(model, operators, variable, _given(operator.outputs))
            given = {place[index]: values[index] for index in variable}
            yield OneOperator(operator.label, file, given)


def _given(indices):
    """Without the optional ones that are left out."""
    return [index for index in indices if index >= 0]


def _obstacle(graph, inputs, constant, values):
    for index in inputs:
        tensor = graph.tensors[index]
        if tensor.is_variable:
            return "it keeps a state"
        if index not in constant and index not in values:
            return f"its input is of the type {tensor.dtype}"
    return None


def _with_constants(
    graph: Subgraph, operator: Operator, constant: frozenset[int]
) -> list[Operator]:
    """The operator, after those that make its constants."""
    makers = [graph.producers.get(index) for index in operator.inputs if index in constant]
    before = [one for maker in makers if maker for one in _with_constants(graph, maker, constant)]
    return [*dict.fromkeys(before), operator]
