"""All that is to know of a .tflite file without running it on data."""

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping, Sequence

from care_keras.litert.model import runtime_version
from care_keras.tflite_file import Finding, Graph, audit_integer_only, oldest_runtime, read_graph
from care_keras.tflite_file.rules import RULES
from care_keras.tflite_file.runtime_version import RuntimeRequirement
from tflite.audit.cost import OperatorCost, operator_cost
from tflite.audit.ethos_u.records import EthosUAudit
from tflite.audit.gpu.records import GpuAudit
from tflite.audit.half_precision.check import HalfPrecisionRange
from tflite.audit.memory import MemoryPlan, plan_memory
from tflite.audit.sizes.allocated import Sizes, allocated_sizes
from tflite.audit.warnings import WARNING_RULES, warnings
from tflite.audit.xnnpack import Delegation, delegation


@dataclasses.dataclass(frozen=True)
class Audit:
    """What was found out about one file. All counts are of its main graph.

    Attributes:
        path: The file.
        graph: What is in it, open sizes as LiteRT allocates them.
        sizes: What is known of those.
        costs: The cost of each operator.
        memory: The plan of its activations' memory.
        delegation: What XNNPACK does with it.
        runtime: The oldest runtime able to run it.
        warnings: What makes it slow or fragile.
        integer_findings: What speaks against its being integer-only.
        half_precision: Whether half precision holds its numbers, `None` where it was not asked
            or no float is computed.
        gpu: What the GPU accelerator makes of it, `None` where it was not asked.
        ethos_u: What Vela makes of it for Ethos-U NPUs, likewise.
    """

    path: str
    graph: Graph
    sizes: Sizes
    costs: tuple[OperatorCost, ...]
    memory: MemoryPlan
    delegation: Delegation
    runtime: RuntimeRequirement
    warnings: tuple[Finding, ...]
    integer_findings: tuple[Finding, ...]
    half_precision: HalfPrecisionRange | None = None
    gpu: GpuAudit | None = None
    ethos_u: EthosUAudit | None = None

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, where they are known."""
        return sum(cost.macs or 0 for cost in self.costs)

    @property
    def macs_complete(self) -> bool:
        """Whether there is no operator whose work is unknown."""
        return all(cost.macs is not None for cost in self.costs)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all constants, each counted once."""
        places = {
            (tensor.content.ctypes.data, tensor.content.size)
            for subgraph in self.graph.subgraphs
            for tensor in subgraph.tensors
            if tensor.is_constant
        }
        return sum(size for _, size in places)

    @property
    def integer_only(self) -> bool:
        """Whether the file computes in integers only."""
        return not any(finding.severity == "error" for finding in self.integer_findings)


def audit_file(
    path: str | os.PathLike,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    image_shapes: Mapping[int, tuple[int, ...]] | None = None,
) -> Audit:
    """Audits a .tflite file.

    Args:
        path: The file.
        input_shapes: Shapes of inputs that leave sizes open, by name, `""` of a lone input.
        image_shapes: Those of inputs that take images of a known size, by the tensor's index.

    Raises:
        ValueError: If it is missing, is no TFLite model, or is truncated or
            corrupt; or if a shape is of no input.
    """
    stored = read_graph(path)
    asked = delegation(path, stored.main)
    sizes = allocated_sizes(path, stored, input_shapes, image_shapes)
    graph = sizes.graph
    return Audit(
        path=os.fspath(path),
        graph=graph,
        sizes=sizes,
        costs=tuple(
            operator_cost(graph.main, operator, sizes.unknown) for operator in graph.operators
        ),
        memory=plan_memory(graph.main, sizes.unknown),
        delegation=asked,
        runtime=oldest_runtime(graph),
        warnings=tuple(_of_custom_operators(warnings(graph), asked)),
        integer_findings=tuple(audit_integer_only(graph)),
    )


def _of_custom_operators(findings, asked):
    """The findings; of custom operators of the main graph with what the runtime said of them."""
    for finding in findings:
        if finding.rule == "builtin-operators" and not finding.subgraph:
            if asked.error:
                said = f"which LiteRT {runtime_version()} does not run here"
            elif finding.operator in asked.delegated:
                said = f"which XNNPACK of LiteRT {runtime_version()} runs"
            else:
                said = f"of which LiteRT {runtime_version()} has a kernel here"
            finding = dataclasses.replace(finding, message=f"{finding.message}, {said}")
        yield finding


@dataclasses.dataclass(frozen=True)
class OperatorTotal:
    """All operators of one kind in a graph.

    Attributes:
        name: `"CONV_2D"`.
        count: How many there are.
        delegated: How many of them XNNPACK runs.
        macs: Their multiply-accumulates, or `None` where not known.
        read_bytes: Activations read, likewise.
        written_bytes: Activations written, likewise.
        weight_bytes: Constants read.
    """

    name: str
    count: int
    delegated: int
    macs: int | None
    read_bytes: int | None
    written_bytes: int | None
    weight_bytes: int


def operator_totals(audit: Audit) -> list[OperatorTotal]:
    """Sums up by kind of operator, the kind with most work first."""
    groups: dict[str, list[int]] = {}
    for operator in audit.graph.operators:
        groups.setdefault(operator.label, []).append(operator.index)
    totals = []
    for name, indices in groups.items():
        costs = [audit.costs[index] for index in indices]
        totals.append(
            OperatorTotal(
                name=name,
                count=len(indices),
                delegated=len(audit.delegation.delegated.intersection(indices)),
                macs=_sum(cost.macs for cost in costs),
                read_bytes=_sum(cost.read_bytes for cost in costs),
                written_bytes=_sum(cost.written_bytes for cost in costs),
                weight_bytes=sum(cost.weight_bytes for cost in costs),
            )
        )
    return sorted(totals, key=lambda total: (-(total.macs or 0), -total.count, total.name))


def _sum(figures):
    """Of figures that are all known."""
    figures = list(figures)
    return None if None in figures else sum(figures)


def refusals(audit: Audit) -> list[tuple[str, int, str]]:
    """`(operator, count, likely reason)` of what XNNPACK does not run, the most frequent first."""
    counts = Counter(
        (audit.graph.operators[index].label, reason or "not known")
        for index, reason in audit.delegation.refused.items()
    )
    return [(name, count, reason) for (name, reason), count in counts.most_common()]


@dataclasses.dataclass(frozen=True)
class TypeTotal:
    """All tensors of one type.

    Attributes:
        dtype: `"int8"`.
        constants: How many of them the file holds.
        constant_bytes: Their bytes.
        activations: How many others there are.
        per_channel: How many have a scale per channel.
    """

    dtype: str
    constants: int
    constant_bytes: int
    activations: int
    per_channel: int


def type_totals(audit: Audit) -> list[TypeTotal]:
    """Sums up tensors by type."""
    totals = []
    for dtype in sorted({tensor.dtype for tensor in audit.graph.tensors}):
        tensors = [tensor for tensor in audit.graph.tensors if tensor.dtype == dtype]
        constants = [tensor for tensor in tensors if tensor.is_constant]
        totals.append(
            TypeTotal(
                dtype=dtype,
                constants=len(constants),
                constant_bytes=sum(tensor.content.size for tensor in constants),
                activations=len(tensors) - len(constants),
                per_channel=sum(len(tensor.scales) > 1 for tensor in tensors),
            )
        )
    return totals


def to_dict(audit: Audit) -> dict:
    """Everything as plain JSON types, with the version of the runtime that was asked."""
    graph, asked = audit.graph, audit.delegation
    return {
        "file": audit.path,
        "size_bytes": graph.size_bytes,
        "description": graph.description,
        "litert_version": runtime_version(),
        "subgraphs": len(graph.subgraphs),
        "input_shapes": {name: list(shape) for name, shape in audit.sizes.inputs.items()},
        "unknown_sizes": {
            "tensors": sorted(audit.sizes.unknown),
            "reason": audit.sizes.reason,
        },
        "macs": audit.macs,
        "macs_complete": audit.macs_complete,
        "weight_bytes": audit.weight_bytes,
        "arena_bytes_estimate": audit.memory.arena_bytes,
        "persistent_bytes_estimate": audit.memory.persistent_bytes,
        "inputs": [_tensor(tensor) for tensor in graph.inputs],
        "outputs": [_tensor(tensor) for tensor in graph.outputs],
        "signatures": [dataclasses.asdict(signature) for signature in graph.signatures],
        "oldest_runtime": {
            "tensorflow_lite": audit.runtime.version,
            "needed_by": _versions(audit.runtime.needed_by),
            "unknown": _versions(audit.runtime.unknown),
            "caveats": list(audit.runtime.caveats),
        },
        "xnnpack": {
            "error": asked.error,
            "delegated": None if asked.error else len(asked.delegated),
            "operators": len(graph.operators),
            "partitions": None if asked.error else asked.partitions,
            "refused": [
                {"operator": name, "count": count, "likely_reason": reason}
                for name, count, reason in refusals(audit)
            ],
        },
        "half_precision": audit.half_precision and audit.half_precision.to_dict(),
        "gpu": audit.gpu and audit.gpu.to_dict(),
        "ethos_u": audit.ethos_u and audit.ethos_u.to_dict(),
        "integer_only": audit.integer_only,
        "integer_findings": [_finding(finding) for finding in audit.integer_findings],
        "warnings": [_finding(finding) for finding in audit.warnings],
        "operator_totals": [dataclasses.asdict(total) for total in operator_totals(audit)],
        "type_totals": [dataclasses.asdict(total) for total in type_totals(audit)],
        "operators": [
            {
                "index": operator.index,
                "name": operator.label,
                "version": operator.version,
                "inputs": list(operator.inputs),
                "outputs": list(operator.outputs),
                "options": dict(operator.options),
                **dataclasses.asdict(cost),
                "delegated": None if asked.error else operator.index in asked.delegated,
                "likely_reason": asked.refused.get(operator.index),
            }
            for operator, cost in zip(graph.operators, audit.costs, strict=True)
        ],
        "tensors": [_tensor(tensor) for tensor in graph.tensors],
    }


def reason_of(finding: Finding) -> str:
    """Why a finding matters."""
    rules = RULES | {rule.name: rule for rule in WARNING_RULES}
    return rules[finding.rule].reason


def _versions(operators):
    return [{"operator": name, "version": version} for name, version in operators]


def _finding(finding):
    return {**dataclasses.asdict(finding), "reason": reason_of(finding)}


def _tensor(tensor):
    return {
        "index": tensor.index,
        "name": tensor.name,
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "shape_signature": list(tensor.shape_signature),
        "constant": tensor.is_constant,
        "bytes": tensor.size_bytes,
        "scales": list(tensor.scales),
        "zero_points": list(tensor.zero_points),
        "quantized_dimension": tensor.quantized_dimension,
    }
