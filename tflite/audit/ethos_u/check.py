"""How much of a .tflite file Vela puts on Ethos-U NPUs."""

import os
import pathlib
import sys
from collections import Counter
from collections.abc import Sequence

from care_keras.tflite_file import Graph
from care_keras.tflite_file.reduced_precision import computes_in_floats
from tflite.audit.ethos_u.records import Compilation, EthosUAudit, LeftOperator
from tflite.audit.ethos_u.vela import COMMAND_STREAM, Output, compile_file, vela_version


def check_compilable(graph: Graph) -> None:
    """Raises ValueError if a file has open sizes besides the batch, or is compiled already."""
    open_inputs = [tensor for tensor in graph.inputs if -1 in tensor.shape_signature[1:]]
    if open_inputs:
        shapes = ", ".join(f"{one.name} {list(one.shape_signature)}" for one in open_inputs)
        raise ValueError(
            "Vela compiles for fixed sizes, the batch aside: convert the model with one (--size). "
            f"Received: {shapes} in {graph.source}"
        )
    if any(operator.custom_code == COMMAND_STREAM for operator in graph.operators):
        raise ValueError(
            "The file is compiled by Vela already: audit the one that it was made from. "
            f"Received: {graph.source}"
        )


def audit_ethos_u(
    path: str | os.PathLike,
    graph: Graph,
    macs: Sequence[int | None],
    accelerators: Sequence[str],
    timeout_seconds: float = 600,
) -> EthosUAudit:
    """Compiles a file for each accelerator, in processes of their own.

    Args:
        path: The file.
        graph: What is in it.
        macs: Multiply-accumulates of each of its operators, `None` where not known.
        accelerators: Such as `"ethos-u65-256"`.
        timeout_seconds: Time for each of them.

    Raises:
        ValueError: If the file has open sizes besides the batch, or is compiled already.
    """
    check_compilable(graph)
    compilations = []
    for name in dict.fromkeys(accelerators):
        print(f"compiling {pathlib.Path(path).name} for {name}", file=sys.stderr, flush=True)
        try:
            output = compile_file(path, name, timeout_seconds)
        except ValueError as error:
            compilations.append(Compilation(name, error=str(error), operators=len(graph.operators)))
        else:
            compilations.append(judge(name, output, graph, macs))
    return EthosUAudit(vela_version(), computes_in_floats(graph), tuple(compilations))


def judge(
    accelerator: str, output: Output, graph: Graph, macs: Sequence[int | None]
) -> Compilation:
    """What Vela's file for an accelerator leaves of the file that it was made from."""
    written = output.graph.operators
    left = [
        (operator.label, _output_name(output.graph, operator))
        for operator in written
        if operator.custom_code != COMMAND_STREAM
    ]
    stretches = len(written) - len(left)
    # Names need not differ: as many are left as Vela's file has.
    remaining, on_npu = Counter(left), []
    for operator in graph.operators:
        key = (operator.label, _output_name(graph, operator))
        if remaining[key]:
            remaining[key] -= 1
        elif stretches:
            on_npu.append(operator.index)
    total = sum(count or 0 for count in macs)
    return Compilation(
        accelerator=accelerator,
        operators=len(graph.operators),
        on_npu=len(on_npu),
        macs_on_npu=sum(macs[index] or 0 for index in on_npu) / total if total else None,
        stretches=stretches,
        on_cpu=tuple(LeftOperator(*key, output.reasons.get(key[1])) for key in left),
        estimate=output.estimate if stretches else None,
    )


def _output_name(graph, operator):
    outputs = graph.main.output_tensors(operator)
    return outputs[0].name if outputs else ""
