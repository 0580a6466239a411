"""Each operator of a .tflite file as a file of its own."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from care_keras.tflite_file import Operator, Subgraph, read_graph
from care_keras.tflite_file.writer import pack


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
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    constant = {tensor.index for tensor in graph.tensors if tensor.is_constant}
    for operator in graph.operators:
        inputs = _given(operator.inputs)
        if inputs and constant.issuperset(inputs):
            constant.update(_given(operator.outputs))
        elif reason := _obstacle(graph, inputs, constant, values):
            yield OneOperator(operator.label, None, {}, reason)
        else:
            variable = sorted(set(inputs) - constant)
            file, place = _cut(model, _with_constants(graph, operator, constant), variable)
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


def _with_constants(graph: Subgraph, operator: Operator, constant: set[int]) -> list[Operator]:
    """The operator, after those that make its constants."""
    makers = [graph.producers.get(index) for index in operator.inputs if index in constant]
    before = [one for maker in makers if maker for one in _with_constants(graph, maker, constant)]
    return [*dict.fromkeys(before), operator]


def _cut(
    model: schema.ModelT, operators: list[Operator], inputs: list[int]
) -> tuple[bytes, dict[int, int]]:
    """A file of some operators, of which the last one counts; and where their tensors are in it."""
    graph = model.subgraphs[0]
    used = {i for one in operators for i in (*_given(one.inputs), *_given(one.outputs))}
    place = {index: place for place, index in enumerate(sorted(used))}
    cut, buffers = schema.ModelT(), [schema.BufferT()]
    cut.version, cut.operatorCodes, cut.buffers = model.version, model.operatorCodes, buffers
    one = schema.SubGraphT()
    one.tensors = [_tensor(graph.tensors[index], model.buffers, buffers) for index in place]
    one.operators = [_operator(graph.operators[operator.index], place) for operator in operators]
    one.inputs = [place[index] for index in inputs]
    one.outputs = [place[index] for index in _given(operators[-1].outputs)]
    cut.subgraphs = [one]
    return pack(cut), place


def _tensor(tensor, all_buffers, buffers):
    copied = _copy(tensor)
    copied.buffer = 0
    if (data := all_buffers[tensor.buffer].data) is not None and len(data):
        buffer = schema.BufferT()
        buffer.data = data
        buffers.append(buffer)
        copied.buffer = len(buffers) - 1
    return copied


def _operator(operator, place):
    copied = _copy(operator)
    for name in ("inputs", "outputs"):
        setattr(copied, name, [place.get(index, -1) for index in getattr(operator, name)])
    return copied


def _copy(one):
    copied = type(one)()
    vars(copied).update(vars(one))
    return copied
