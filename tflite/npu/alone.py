"""A .tflite file in which each operator runs by itself."""

from care_keras.tflite_file import read_graph
from care_keras.tflite_file.cutting import copy_of
from care_keras.tflite_file.writer import pack, unpack
from tflite.runs.tensors import readable_tensors


def operators_alone(content: bytes) -> tuple[bytes, list[int]]:
    """A file of the same operators, each of which reads inputs of the file in place of results.

    What one operator does wrong then reaches no other. All that they write are outputs.

    Args:
        content: The file.

    Returns:
        The file, and for each of its inputs the tensor of the file before that it stands for.

    Raises:
        ValueError: If the file is damaged.
    """
    graph = read_graph(content)
    model = unpack(content)
    changed = model.subgraphs[0]
    sources, inputs = [], []
    for operator in graph.operators:
        own = {}
        for index in sorted(set(operator.inputs) - graph.main.constants - {-1}):
            if graph.tensors[index].is_variable:
                continue
            tensor = copy_of(changed.tensors[index])
            tensor.name, tensor.buffer = f"{operator.index} reads {index}", 0
            own[index] = len(changed.tensors)
            changed.tensors.append(tensor)
            sources.append(index)
            inputs.append(own[index])
        one = changed.operators[operator.index]
        one.inputs = [own.get(int(index), int(index)) for index in one.inputs]
    changed.inputs, changed.outputs = inputs, readable_tensors(graph)
    model.signatureDefs = []
    return pack(model), sources
