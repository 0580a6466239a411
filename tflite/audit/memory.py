"""The memory that activations take, planned as TFLite's arena does it.

Follows LiteRT's `tflite/arena_planner.cc` and `tflite/simple_memory_arena.cc`
(github.com/google-ai-edge/LiteRT, commit f67457790c9c2ab67347d6fe53270e8d3df20868):
a tensor lives from the operator that writes it to the last that reads it, the
model's inputs and outputs to the end; large tensors are placed first, each into
the smallest gap that is free for its whole life; some operators write their
result over an input that nothing else reads.
"""

import dataclasses
from collections import Counter
from collections.abc import Collection

from care_keras.tflite_file.records import Subgraph

_ALIGNMENT_BYTES = 64
_FOREVER = 2**31
# Sizes up to this one are never shared by an operator that changes the data.
_SCALAR_BYTES = 4
# Inputs that an operator's first output may overwrite, by position.
_OVERWRITES = {
    "ADD": (0, 1),
    "SUB": (0, 1),
    "MUL": (0, 1),
    "DIV": (0, 1),
    "SOFTMAX": (0,),
    "DYNAMIC_UPDATE_SLICE": (0,),
}
# Operators that leave the data as it is, and so share it with any other reader.
_KEEPS_DATA = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "BITCAST")


@dataclasses.dataclass(frozen=True)
class MemoryPlan:
    """Where the activations go.

    Attributes:
        arena_bytes: Size of the arena: the peak of activation memory; `None` where the size
            of a tensor is not known.
        persistent_bytes: What is kept between inferences: variables, and
            constants that DEQUANTIZE unpacks.
        offsets: Place in the arena in bytes, by the tensor's index; a tensor
            that shares another's place has the same one.
    """

    arena_bytes: int | None
    persistent_bytes: int
    offsets: dict[int, int]


@dataclasses.dataclass
class _Life:
    tensor: int
    size: int
    first: int
    last: int
    offset: int = 0


def plan_memory(subgraph: Subgraph, unknown: Collection[int] = ()) -> MemoryPlan:
    """Plans the arena of a graph that runs in the runtime's own kernels.

    An estimate: the scratch memory of kernels is not in the file, and XNNPACK
    keeps what lies inside its partitions in memory of its own.

    Args:
        subgraph: The graph.
        unknown: Indices of tensors whose size is not known.
    """
    shared = _shared_with(subgraph)
    lives = _lives(subgraph, shared)
    whole = [life for life in lives if life.first == 0 and life.last == _FOREVER]
    others = [life for life in lives if life.first or life.last != _FOREVER]
    whole.sort(key=lambda life: life.tensor)
    others.sort(key=lambda life: (-life.size, life.first))
    placed: list[_Life] = []
    all_known = not any(life.tensor in unknown for life in lives)
    for life in whole + others:
        life.offset = _place(life, placed)
        placed.append(life)
        placed.sort(key=lambda item: item.offset)
    offsets = {life.tensor: life.offset for life in placed}
    for tensor, owner in shared.items():
        if owner in offsets:
            offsets[tensor] = offsets[owner]
    return MemoryPlan(
        arena_bytes=(
            max((life.offset + life.size for life in placed), default=0) if all_known else None
        ),
        persistent_bytes=sum(
            tensor.size_bytes
            for tensor in subgraph.tensors
            if tensor.is_variable or _is_unpacked(subgraph, tensor)
        ),
        offsets=offsets,
    )


def _shared_with(subgraph):
    """The tensor whose memory an operator's output shares, by the output's index."""
    readers = Counter(index for operator in subgraph.operators for index in operator.inputs)
    readers.update(subgraph.inputs)
    readers.update(subgraph.outputs)
    shared: dict[int, int] = {}
    for operator in subgraph.operators:
        keeps_data = operator.name in _KEEPS_DATA
        positions = (0,) if keeps_data else _OVERWRITES.get(operator.name, ())
        if not operator.outputs or operator.outputs[0] < 0:
            continue
        target = operator.outputs[0]
        for source in (operator.inputs[i] for i in positions if i < len(operator.inputs)):
            if source < 0 or not _may_share(subgraph, source, target):
                continue
            if not keeps_data and not _may_overwrite(subgraph, source, readers):
                continue
            owner = shared.get(source, source)
            if keeps_data or readers[owner] <= 1:
                shared[target] = owner
            break
    return shared


def _may_share(subgraph, source, target):
    one, other = subgraph.tensors[source], subgraph.tensors[target]
    return (
        source not in subgraph.inputs
        and target not in subgraph.outputs
        and one.size_bytes == other.size_bytes
        and _in_arena(subgraph, one)
        and _in_arena(subgraph, other)
    )


def _may_overwrite(subgraph, source, readers):
    return subgraph.tensors[source].size_bytes > _SCALAR_BYTES and readers[source] <= 1


def _in_arena(subgraph, tensor):
    return not (tensor.is_constant or tensor.is_variable or _is_unpacked(subgraph, tensor))


def _is_unpacked(subgraph, tensor):
    """Whether it is a constant that DEQUANTIZE unpacks once for all."""
    operator = subgraph.producers.get(tensor.index)
    if operator is None or operator.name != "DEQUANTIZE":
        return False
    return all(source.is_constant for source in subgraph.input_tensors(operator))


def _lives(subgraph, shared):
    """The life of each tensor that has memory of its own in the arena."""
    first = dict.fromkeys(subgraph.inputs, 0)
    last = {}
    for operator in subgraph.operators:
        for tensor in operator.outputs:
            first.setdefault(tensor, operator.index)
        for tensor in operator.inputs:
            last[shared.get(tensor, tensor)] = operator.index
    # What nobody reads is never given back, nor what the caller reads and writes.
    last |= dict.fromkeys([*subgraph.inputs, *subgraph.outputs], _FOREVER)
    return [
        _Life(index, tensor.size_bytes, start, last.get(index, _FOREVER))
        for index, start in first.items()
        if index >= 0 and index not in shared
        for tensor in [subgraph.tensors[index]]
        if tensor.size_bytes and _in_arena(subgraph, tensor)
    ]


def _place(life, placed):
    """The offset of the smallest gap that is free for a whole life; else the end."""
    best = smallest = None
    end = 0
    for other in placed:
        if other.last < life.first or other.first > life.last:
            continue
        start = -(-end // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
        fits = start + life.size <= other.offset
        if fits and (smallest is None or other.offset - start < smallest):
            best, smallest = start, other.offset - end
        end = max(end, other.offset + other.size)
    return -(-end // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES if best is None else best
