"""What LiteRT's compiler for NPUs leaves in a .tflite file: contexts of the vendor's runtime."""

import dataclasses

from flatbuffers import flexbuffers

from care_keras.tflite_file import Graph

# The operator that stands for one: LiteRT 2.2.0, litert/core/build_stamp.h.
DISPATCH = "DISPATCH_OP"


@dataclasses.dataclass(frozen=True, eq=False)
class Partition:
    """A part of the graph that the NPU runs in one piece.

    Attributes:
        operator: The place of the operator that stands for it.
        name: What the vendor's runtime calls it.
        inputs: Tensors that it reads.
        outputs: Tensors that it writes.
        content: The context.
    """

    operator: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    content: bytes


def partitions_of(content: bytes, graph: Graph) -> list[Partition]:
    """The partitions of the main graph.

    Args:
        content: The compiled file; contexts lie behind the flatbuffer.
        graph: What is in it.

    Raises:
        ValueError: If one lies outside the file.
    """
    found = []
    for operator in graph.operators:
        if operator.custom_code != DISPATCH:
            continue
        options = flexbuffers.Loads(bytes(operator.custom_options))
        start, size = options["bytecode_offset"], options["bytecode_size"]
        if not 0 < start <= start + size <= len(content):
            raise ValueError(
                "A partition lies outside the file. "
                f"Received: {size} bytes at {start} of {len(content)}"
            )
        found.append(
            Partition(
                operator=operator.index,
                name=options["name"],
                inputs=tuple(index for index in operator.inputs if index >= 0),
                outputs=tuple(operator.outputs),
                content=content[start : start + size],
            )
        )
    return found
