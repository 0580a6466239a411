"""A graph as a list of steps on arrays."""

import dataclasses
from collections.abc import Callable

import numpy as np

from care_keras.reference import arithmetic, movement, products, tables, windows
from care_keras.reference.float_functions import (
    FloatFunction,
    dequantized,
    follow,
    is_float_function,
)
from care_keras.reference.operation import KERNELS, Operation
from care_keras.tflite_file.records import Graph, Operator

# Their kernels register themselves.
MODULES = (arithmetic, movement, products, tables, windows)
# Elements that an operation works on at a time: what it computes in between stays in the CPU's
# cache, which makes it some 1.5 times as fast as whole batches.
_PIECE_ELEMENTS = 1 << 18


@dataclasses.dataclass(frozen=True)
class Step:
    """One operation, ready to run.

    Attributes:
        run: From the arrays of its inputs to that of its output, or to a list.
        inputs: Indices of the tensors that it computes with.
        outputs: Indices of those it computes.
        released: Tensors that no later step reads.
    """

    run: Callable
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    released: tuple[int, ...]


def compile_graph(graph: Graph) -> list[Step]:
    """The steps of a file's main graph.

    Where `keeps_images_apart` holds, they take any number of images.

    Raises:
        ValueError: If an operation is not known, or has no integer form.
    """
    steps: list[tuple] = []
    functions: dict[int, FloatFunction] = {}
    for operator in graph.operators:
        operation = _operation(graph, operator)
        if operation.name == "DEQUANTIZE" and not operation.inputs[0].is_constant:
            function = dequantized(operation)
        elif is_float_function(operation):
            inputs = [x and functions.get(x.index) for x in operation.inputs]
            function = follow(operation, inputs)
        else:
            steps.append(_step(operation, functions))
            continue
        functions[operation.output.index] = function
        if operation.output.index in graph.main.outputs:
            run = tables.lookup(function.values, function.source.dtype)
            steps.append((run, (function.source.index,), (operation.output.index,)))
    return _with_releases(steps, graph)


def _operation(graph: Graph, operator: Operator) -> Operation:
    if operator.custom_code is not None:
        raise ValueError(
            f"Only TFLite's own operations can be computed. Received: {operator.label}"
        )
    return Operation(
        name=operator.name,
        options=operator.options,
        inputs=tuple(None if i < 0 else graph.tensors[i] for i in operator.inputs),
        outputs=tuple(graph.tensors[i] for i in operator.outputs),
    )


def _step(operation, functions):
    computed = tuple(x for x in operation.inputs if x is not None and not x.is_constant)
    outputs = tuple(x.index for x in operation.outputs)
    function = functions.get(computed[0].index) if len(computed) == 1 else None
    if operation.name == "QUANTIZE" and function is not None:
        table = tables.quantize_floats(function.values, operation)
        source = function.source
        return tables.lookup(table, source.dtype), (source.index,), outputs
    if operation.name not in KERNELS:
        operation.refuse("the operation is not known here")
    if any(x.index in functions for x in computed):
        operation.refuse("it works on float32 tensors")
    return KERNELS[operation.name](operation), tuple(x.index for x in computed), outputs


def _with_releases(steps, graph):
    last = {index: place for place, (_, inputs, _) in enumerate(steps) for index in inputs}
    kept = set(graph.main.outputs)
    apart = keeps_images_apart(graph)

    def in_pieces(run, inputs, outputs):
        tensors = [graph.tensors[i] for i in (*inputs, *outputs)]
        if not apart or len(outputs) > 1:
            return run
        return _in_pieces(run, max(x.elements // x.shape[0] for x in tensors))

    return [
        Step(
            in_pieces(run, inputs, outputs),
            inputs,
            outputs,
            released=tuple(i for i in set(inputs) if last[i] == place and i not in kept),
        )
        for place, (run, inputs, outputs) in enumerate(steps)
    ]


def _in_pieces(run, elements_per_image):
    images = max(1, _PIECE_ELEMENTS // max(1, elements_per_image))

    def run_pieces(*arrays):
        count = len(arrays[0])
        if count <= images:
            return run(*arrays)
        starts = range(0, count, images)
        return np.concatenate([run(*(x[i : i + images] for x in arrays)) for i in starts])

    return run_pieces


def keeps_images_apart(graph: Graph) -> bool:
    """Whether the first axis of every tensor counts images, and nothing else.

    Then any number of them runs at once, whatever batch the file is made for.
    """
    return all(_keeps_apart(_operation(graph, operator)) for operator in graph.operators)


def _keeps_apart(operation):
    computed = [x for x in operation.inputs if x is not None and not x.is_constant]
    constants = [x for x in operation.inputs if x is not None and x.is_constant]
    shapes = [x.shape for x in (*computed, *operation.outputs)]
    rank = len(computed[0].shape) if computed else 0
    if not rank or not all(shapes) or any(x.shape[:1] != shapes[0][:1] for x in computed):
        return False
    name = operation.name
    if name in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"):
        return all(int(axis) % rank for axis in operation.constant(1).reshape(-1))
    if name == "ARG_MAX":
        return bool(int(operation.constant(1).reshape(-1)[0]) % rank)
    if name == "TRANSPOSE":
        return not operation.constant(1)[0]
    if name == "CONCATENATION":
        return bool(operation.options["axis"] % rank) and not constants
    if name == "SPLIT":
        return bool(int(operation.constant(0).reshape(-1)[0]) % rank)
    if name == "SPLIT_V":
        return bool(int(operation.constant(2).reshape(-1)[0]) % rank)
    if name == "PACK":
        return bool(operation.options["axis"] % (rank + 1)) and not constants
    if name == "UNPACK":
        return bool(operation.options["axis"] % rank)
    if name in ("PAD", "PADV2"):
        return not operation.constant(1)[0].any()
    if name == "GATHER":
        return not operation.options["axis"] and operation.inputs[0].is_constant
    if name in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS"):
        return shapes[0][0] == shapes[-1][0]
    if name == "BATCH_MATMUL" and not operation.inputs[1].is_constant and rank < 3:
        return False
    if name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"):
        return operation.options.get("keep_num_dims", True) or rank == 2
    # One shape for the images, and constants that are the same for each.
    broadcast = all(len(x.shape) < len(shapes[-1]) or x.shape[0] == 1 for x in constants)
    same_rank = all(len(x.shape) == rank for x in computed)
    return broadcast and same_rank and shapes[0][0] == shapes[-1][0]


def run_steps(steps: list[Step], arrays: dict[int, np.ndarray], keep: bool) -> None:
    """Runs all steps.

    Args:
        steps: From `compile_graph`.
        arrays: The input by its tensor's index; takes up what is computed.
        keep: Whether tensors that are not needed any more stay.
    """
    for step in steps:
        results = step.run(*(arrays[index] for index in step.inputs))
        if len(step.outputs) == 1:
            results = [results]
        arrays.update(zip(step.outputs, results, strict=True))
        if not keep:
            for index in step.released:
                arrays.pop(index, None)
