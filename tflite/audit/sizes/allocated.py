"""A graph with the sizes that LiteRT gives its tensors, where the file leaves them open.

The converter writes a placeholder, mostly 1, for each size that it does not know, though most
follow from the input's: what is counted with placeholders is far too little.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence

from care_keras.litert.tensor import asked_shapes, inputs_of
from care_keras.shapes import shape_text
from care_keras.tflite_file import Graph
from care_keras.tflite_file.records import NO_NUMBERS
from tflite.audit.sizes import worker
from tflite.benchmark.worker import input_shape
from tflite.child.worker import ask

_TIMEOUT_SECONDS = 300


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What is known of a file's sizes.

    Attributes:
        graph: The file's, its main graph's tensors of the shapes that LiteRT gives them.
        inputs: Shapes of the inputs by name, where they are not the file's alone.
        unknown: Indices of tensors whose size is not known.
        reason: Why not, or `None`.
    """

    graph: Graph
    inputs: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    unknown: frozenset[int] = frozenset()
    reason: str | None = None


def allocated_sizes(
    path: str | os.PathLike,
    graph: Graph,
    given: Mapping[str, Sequence[int]] | None = None,
    images: Mapping[int, tuple[int, ...]] | None = None,
) -> Sizes:
    """Asks LiteRT, in a process of its own, for the sizes that a file leaves open.

    An open batch is as many samples as the file has as a placeholder, one in most files.

    Args:
        path: The file.
        graph: What is in it.
        given: Shapes of inputs that the user gives, by name, `""` of a lone input.
        images: Shapes of inputs that take images of a known size, by the tensor's index.

    Raises:
        ValueError: If a shape is given for no input, or has other dimensions.
    """
    given, images = given or {}, images or {}
    infos = inputs_of(graph)
    asked = asked_shapes(given, {name: one.name for name, one in infos.items()})
    tensors = [tensor for tensor in graph.tensors if not tensor.is_constant]
    dynamic = frozenset(tensor.index for tensor in tensors if tensor.is_dynamic)
    if not asked and not dynamic:
        return Sizes(graph)
    shapes, open_inputs = {}, []
    for name, one in infos.items():
        tensor = graph.tensors[one.index]
        signature = tensor.shape_signature
        if name in asked:
            shapes[name] = input_shape(name, tensor.shape, signature, asked[name])
        elif one.index in images:
            shapes[name] = images[one.index]
        # The one size of a vector is no batch: it may be all samples of a sound.
        elif -1 in signature[1:] or signature == (-1,):
            open_inputs.append(f"{name} {shape_text(signature)}")
        else:
            shapes[name] = tensor.shape
    if open_inputs:
        return Sizes(
            graph,
            unknown=dynamic,
            reason=f"inputs leave sizes open ({', '.join(open_inputs)}): give them with "
            "--input_shape",
        )
    readable = [tensor.index for tensor in tensors if tensor.dtype not in NO_NUMBERS]
    request = {
        "model": os.fspath(path),
        "shapes": {infos[name].index: list(shape) for name, shape in shapes.items()},
        "tensors": readable,
    }
    try:
        found = ask("LiteRT", worker.__file__, request, _TIMEOUT_SECONDS)
    except ValueError as error:
        return Sizes(graph, shapes, dynamic if not asked else frozenset(readable), str(error))
    known = {int(index): shape for index, shape in found["shapes"].items()}
    resized = tuple(
        dataclasses.replace(tensor, shape=tuple(known[tensor.index]))
        if known.get(tensor.index) is not None
        else tensor
        for tensor in graph.tensors
    )
    by_data = frozenset(index for index, shape in known.items() if shape is None)
    # Of tensors that nothing writes LiteRT has no shape, and no figure needs one.
    written = {index for operator in graph.operators for index in operator.outputs}
    absent = frozenset(index for index in readable if index not in known) & written
    reason = None
    if by_data:
        reason = f"{len(by_data)} tensors are of a size that depends on what the inputs hold"
    if absent and found["failure"]:
        reason = found["failure"]
    main = dataclasses.replace(graph.main, tensors=resized)
    graph = dataclasses.replace(graph, subgraphs=(main, *graph.subgraphs[1:]))
    unknown = by_data | (absent if asked else absent & dynamic)
    return Sizes(graph, shapes, unknown, reason)
