"""Which operators of a .tflite file XNNPACK takes over, asked of the runtime itself."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

from care_keras.tflite_file.records import Subgraph
from tflite.audit.xnnpack_rules import likely_reason

_PROBE = pathlib.Path(__file__).with_name("probe.py")
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
        nodes = _probe(path)
        delegated, partitions = _delegated(nodes, subgraph)
    except _ProbeError as error:
        return Delegation(frozenset(), 0, {}, str(error))
    refused = {
        operator.index: likely_reason(subgraph, operator)
        for operator in subgraph.operators
        if operator.index not in delegated
    }
    return Delegation(delegated, partitions, refused)


class _ProbeError(Exception):
    pass


def _probe(path):
    # -P keeps the probe's folder off the path of imports.
    command = [sys.executable, "-P", os.fspath(_PROBE), os.fspath(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise _ProbeError(f"LiteRT did not open the file in {_TIMEOUT_SECONDS} s") from error
    if done.returncode < 0:
        raise _ProbeError(f"LiteRT was ended by signal {-done.returncode} while opening the file")
    if done.returncode:
        raise _ProbeError(f"LiteRT cannot be run: {done.stderr.strip().splitlines()[-1]}")
    result = json.loads(done.stdout.splitlines()[-1])
    if "error" in result:
        raise _ProbeError(f"LiteRT cannot open the file: {result['error']}")
    return result["nodes"]


def _delegated(nodes, subgraph):
    """The operators inside XNNPACK's partitions, and the number of partitions.

    A partition is a node that has taken the place of others. What it runs is
    all that lies between the tensors it reads and those it writes.
    """
    count = len(subgraph.operators)
    if [tuple(outputs) for _, _, outputs in nodes[:count]] != [
        operator.outputs for operator in subgraph.operators
    ]:
        raise _ProbeError("LiteRT's nodes are not the operators of the file")
    partitions = [node for node in nodes[count:] if node[0] == "DELEGATE"]
    delegated: set[int] = set()
    for _, inputs, outputs in partitions:
        border, waiting = set(inputs), list(outputs)
        while waiting:
            tensor = waiting.pop()
            operator = subgraph.producers.get(tensor)
            if tensor in border or operator is None or operator.index in delegated:
                continue
            delegated.add(operator.index)
            waiting.extend(operator.inputs)
    return frozenset(delegated), len(partitions)
