"""Some operators of a .tflite file as a file of their own."""

from collections.abc import Sequence
from typing import TypeVar

from ai_edge_litert import schema_py_generated as schema

from care_keras.tflite_file.writer import pack

_Table = TypeVar("_Table")


def cut(
    model: schema.ModelT, operators: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]
) -> tuple[bytes, dict[int, int]]:
    """Cuts operators of the main graph out.

    Args:
        model: The file, which stays as it is.
        operators: Their places in it, in the order of execution.
        inputs: Tensors that become inputs.
        outputs: Tensors that become outputs.

    Returns:
        The file, and the index in it of each tensor, by its index before.
    """
    graph = model.subgraphs[0]
    kept = [graph.operators[index] for index in operators]
    used = {index for one in kept for index in (*one.inputs, *one.outputs) if index >= 0}
    place = {int(index): place for place, index in enumerate(sorted(used))}
    result, buffers = schema.ModelT(), [schema.BufferT()]
    result.version, result.operatorCodes, result.buffers = (
        model.version,
        model.operatorCodes,
        buffers,
    )
    piece = schema.SubGraphT()
    piece.tensors = [_tensor(graph.tensors[index], model.buffers, buffers) for index in place]
    piece.operators = [_operator(one, place) for one in kept]
    piece.inputs = [place[index] for index in inputs]
    piece.outputs = [place[index] for index in outputs]
    result.subgraphs = [piece]
    return pack(result), place


def _tensor(tensor, all_buffers, buffers):
    copied = copy_of(tensor)
    copied.buffer = 0
    if (data := all_buffers[tensor.buffer].data) is not None and len(data):
        buffer = schema.BufferT()
        buffer.data = data
        buffers.append(buffer)
        copied.buffer = len(buffers) - 1
    return copied


def _operator(operator, place):
    copied = copy_of(operator)
    for name in ("inputs", "outputs"):
        setattr(copied, name, [place.get(int(index), -1) for index in getattr(operator, name)])
    return copied


def copy_of(one: _Table) -> _Table:
    """A table with the same fields: what they refer to is shared."""
    copied = type(one)()
    vars(copied).update(vars(one))
    return copied
