"""Each operator of a .tflite file as a file of its own."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from care_keras.tflite_file import read_graph
from tflite.arm64.operators import pack


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

    An operator of constants alone is left out: runtimes compute it once, before the
    first inference. What it writes is a constant of the operators that read it.

    Args:
        content: The file.
        values: What its tensors hold in an inference, by index: the inputs of the file and
            `readable_tensors`.

    Raises:
        ValueError: If the file is damaged.
    """
    graph = read_graph(content)
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    constant = {tensor.index for tensor in graph.tensors if tensor.is_constant}
    for operator in graph.main.operators:
        inputs = [index for index in operator.inputs if index >= 0]
        if inputs and constant.issuperset(inputs):
            constant.update(operator.outputs)
        elif reason := _obstacle(graph, inputs, constant, values):
            yield OneOperator(operator.label, None, {}, reason)
        else:
            yield OneOperator(operator.label, *_cut(model, operator, constant, values))


def _obstacle(graph, inputs, constant, values):
    for index in inputs:
        tensor = graph.tensors[index]
        if tensor.is_variable:
            return "it keeps a state"
        if not tensor.is_constant and index not in values:
            return f"its input is of the type {tensor.dtype}"
    return None


def _cut(model, operator, constant, values):
    """The file of an operator, and what its inputs are given."""
    graph = model.subgraphs[0]
    used = sorted({index for index in (*operator.inputs, *operator.outputs) if index >= 0})
    place = {-1: -1} | {index: place for place, index in enumerate(used)}
    cut = schema.ModelT()
    cut.version = model.version
    cut.buffers = [schema.BufferT()]
    one = schema.SubGraphT()
    one.tensors = []
    for index in used:
        data = model.buffers[graph.tensors[index].buffer].data
        if index in constant and (data is None or not len(data)):
            data = np.frombuffer(values[index].tobytes(), np.uint8)
        one.tensors.append(_tensor(graph.tensors[index], values.get(index), cut.buffers, data))
    inputs = sorted({index for index in operator.inputs if index >= 0} - constant)
    one.inputs = [place[index] for index in inputs]
    one.outputs = [place[index] for index in operator.outputs if index >= 0]
    mine = graph.operators[operator.index]
    cut.operatorCodes = [model.operatorCodes[mine.opcodeIndex]]
    one.operators = [_operator(mine, place)]
    cut.subgraphs = [one]
    return pack(cut), {place[index]: values[index] for index in inputs}


def _tensor(tensor, value, buffers, data):
    """The tensor of a cut-out file; sizes that the file leaves open are those of the value."""
    copied = schema.TensorT()
    vars(copied).update(vars(tensor))
    if value is not None:
        copied.shape, copied.shapeSignature = list(value.shape), None
    copied.buffer = 0
    if data is not None and len(data):
        buffer = schema.BufferT()
        buffer.data = data
        buffers.append(buffer)
        copied.buffer = len(buffers) - 1
    return copied


def _operator(operator, place):
    copied = schema.OperatorT()
    vars(copied).update(vars(operator))
    copied.opcodeIndex = 0
    copied.inputs = [place[index] for index in operator.inputs]
    copied.outputs = [place[index] for index in operator.outputs]
    return copied
