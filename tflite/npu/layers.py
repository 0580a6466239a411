"""What each operator of a .tflite file does on the emulated NPU, by itself and in the file."""

import dataclasses
import pathlib

import numpy as np

from care_keras.litert.tensor import TensorInfo
from care_keras.metrics import Difference, snr_db
from care_keras.tflite_file import Graph, read_graph
from tflite.inputs.real_and_extreme import Inputs
from tflite.npu.alone import operators_alone
from tflite.npu.run import Runner
from tflite.runs.tensors import expose_tensors, readable_tensors

# Rounding: NPUs multiply with other integers than LiteRT, and compute floats in half precision.
_ROUNDING_CODES, _ROUNDING = 1, 0.01


@dataclasses.dataclass(frozen=True, kw_only=True)
class OperatorResult(Difference):
    """An operator that was given what it has on the CPU, against the CPU.

    Attributes:
        index: Its place in the file.
        operator: `"CONV_2D"`.
        output: Name of the tensor that it writes.
        alone_db: Signal-to-noise ratio of what it writes, as real values.
        in_file_db: The same where all operators before it ran on the NPU too.
    """

    index: int
    operator: str
    output: str
    alone_db: float
    in_file_db: float

    @property
    def parts(self) -> bool:
        """Whether it does more than round otherwise."""
        return (self.largest_codes or 0) > _ROUNDING_CODES or not (
            (self.largest_relative or 0.0) <= _ROUNDING
        )


def operator_results(path: pathlib.Path, inputs: Inputs, runner: Runner) -> list[OperatorResult]:
    """Runs each operator, the worst first.

    Args:
        path: The file.
        inputs: Some images.
        runner: What runs files.

    Raises:
        ValueError: If one of the runs fails.
    """
    content, graph = path.read_bytes(), read_graph(path)
    exposed = runner.folder / f"all tensors of {path.name}"
    exposed.write_bytes(expose_tensors(content))
    reference = _complete(runner.on_cpu(exposed, inputs))
    in_file = _complete(runner.on_npu(exposed, inputs))
    apart = runner.folder / f"operators of {path.name}"
    changed, sources = operators_alone(content)
    apart.write_bytes(changed)
    place = {tensor: index for index, tensor in enumerate(readable_tensors(graph))}
    values = inputs.by_index(graph) | {
        tensor: _values(reference, index) for tensor, index in place.items()
    }
    given = _given(inputs, values, read_graph(changed), sources)
    alone = _complete(runner.on_npu(apart, given))
    results = [
        _result(
            graph,
            operator,
            tensor,
            [_values(run, place[tensor]) for run in (reference, alone, in_file)],
        )
        for operator in graph.operators
        for tensor in operator.outputs
        if tensor in place
    ]
    return sorted(results, key=lambda one: (not one.parts, one.alone_db))


def _complete(run):
    if run.error or run.failures:
        raise ValueError(run.error or next(iter(run.failures.values())))
    return run


def _values(run, index):
    return np.stack([run.outputs[image][index] for image in sorted(run.outputs)])


def _given(inputs: Inputs, values: dict, changed: Graph, sources: list[int]) -> Inputs:
    """What the file of operators alone takes, of what tensors hold on the CPU."""
    first, *others = zip(changed.inputs, sources, strict=True)
    return Inputs(
        inputs.families,
        values[first[1]],
        first[0].shape,
        {tensor.index: values[source] for tensor, source in others},
    )


def _result(graph, operator, tensor, arrays):
    info = TensorInfo.of_tensor(graph.tensors[tensor])
    reference, alone, in_file = arrays
    real = info.dequantize(reference)
    return OperatorResult.of(
        [(reference, alone)],
        index=operator.index,
        operator=operator.label,
        output=graph.tensors[tensor].name,
        alone_db=snr_db(info.dequantize(alone), real),
        in_file_db=snr_db(info.dequantize(in_file), real),
    )
