"""Which operators of a .tflite file XNNPACK takes over, asked of the runtime itself."""

import dataclasses
import os

from care_keras.tflite_file.records import Subgraph
from tflite.audit.xnnpack_rules import likely_reason
from tflite.benchmark import worker
from tflite.child.worker import ask

_TIMEOUT_SECONDS = 300


@dataclasses.dataclass(frozen=True)
class Delegation:
    """What XNNPACK does with the main graph of a file.

    Attributes:
        delegated: Indices of the operators that it runs.
        partitions: Into how many pieces it cuts them; between two of them
            other kernels run, and tensors are copied.
        refused: For the index of each other operator the likely reason, or
            `None` where none is known. The runtime tells none.
        error: Why the runtime could not be asked, or `None`; the other fields
            are empty then.
    """

    delegated: frozenset[int]
    partitions: int
    refused: dict[int, str | None]
    error: str | None = None


def delegation(path: str | os.PathLike, subgraph: Subgraph) -> Delegation:
    """Opens the file with LiteRT as an app would, in a process of its own.

    Args:
        path: The file.
        subgraph: Its main graph.
    """
    try:
        found = ask("LiteRT", worker.__file__, {"model": os.fspath(path)}, _TIMEOUT_SECONDS)
    except ValueError as error:
        return Delegation(frozenset(), 0, {}, str(error))
    if [tuple(outputs) for outputs in found["op_outputs"]] != [
        operator.outputs for operator in subgraph.operators
    ]:
        message = f"LiteRT's nodes are not the operators of the file. Received: {path}"
        return Delegation(frozenset(), 0, {}, message)
    delegated = frozenset(found["delegated"])
    refused = {
        operator.index: likely_reason(subgraph, operator)
        for operator in subgraph.operators
        if operator.index not in delegated
    }
    return Delegation(delegated, found["partitions"], refused)
