"""At which operators two runs of one .tflite file part."""

import dataclasses

import numpy as np

from care_keras.metrics import Difference, equal_values
from care_keras.tflite_file import Graph, read_graph
from care_keras.tflite_file.writer import pack, unpack
from tflite.runs.run import Run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parting(Difference):
    """All operators of one kind that were given the same on both sides.

    Attributes:
        operator: `"CONV_2D"`.
        judged: Operators times images: how often the inputs were equal.
        parted: How often the outputs were not.
    """

    operator: str
    judged: int
    parted: int


def readable_tensors(graph: Graph) -> list[int]:
    """The tensors that an inference writes in the main graph, if NumPy has their type."""
    return sorted(
        tensor
        for tensor in graph.main.producers.keys() - graph.main.constants
        if graph.tensors[tensor].dtype.startswith(("int", "uint", "float", "bool"))
    )


def expose_tensors(content: bytes) -> bytes:
    """A .tflite file of the same graph that has all `readable_tensors` for outputs.

    The runtime's own switch for that (`experimental_preserve_all_tensors`) does
    not keep it from writing an ADD over its input (seen with TensorFlow Lite
    2.14); outputs are kept.

    Raises:
        ValueError: If the file is damaged.
    """
    tensors = readable_tensors(read_graph(content))
    model = unpack(content)
    model.subgraphs[0].outputs = tensors
    model.signatureDefs = []
    return pack(model)


def same_outputs(graph: Graph, plain: Run, exposed: Run) -> bool:
    """Whether a file gives with all tensors for outputs what it gives without.

    Args:
        graph: The file.
        plain: Its run.
        exposed: A run of it with `expose_tensors`, on the first images of them.
    """
    place = {tensor: index for index, tensor in enumerate(readable_tensors(graph))}
    return all(
        bool(equal_values(plain.outputs[image][index], outputs[place[tensor]]).all())
        for image, outputs in exposed.outputs.items()
        for index, tensor in enumerate(graph.main.outputs)
        if image in plain.outputs and tensor in place
    )


def partings(graph: Graph, reference: Run, other: Run) -> list[Parting]:
    """What each kind of operator does to equal inputs, the one that differs most often first.

    What comes of unequal inputs says nothing of an operator and is left out.

    Args:
        graph: The file.
        reference: A run of it with `expose_tensors`.
        other: The other one.
    """
    place = {tensor: index for index, tensor in enumerate(readable_tensors(graph))}
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for image in sorted(reference.outputs.keys() & other.outputs.keys()):
        first, second = reference.outputs[image], other.outputs[image]
        equal = {
            tensor: bool(equal_values(first[index], second[index]).all())
            for tensor, index in place.items()
        }
        for operator in graph.main.operators:
            # Constants and the input are no operator's outputs: they are the same.
            if all(equal.get(tensor, True) for tensor in operator.inputs):
                for tensor in place.keys() & set(operator.outputs):
                    pair = first[place[tensor]], second[place[tensor]]
                    found.setdefault(operator.label, []).append(pair)
    result = [
        Parting.of(
            pairs,
            operator=operator,
            judged=len(pairs),
            parted=sum(not equal_values(*pair).all() for pair in pairs),
        )
        for operator, pairs in found.items()
    ]
    return sorted(result, key=lambda parting: (-parting.parted, -parting.judged))
