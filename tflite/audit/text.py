"""An audit as text for people."""

import pathlib
from collections.abc import Sequence

from care_keras.console.table import format_table
from care_keras.console.wrapped import wrapped
from care_keras.litert.model import runtime_version
from care_keras.shapes import shape_text
from care_keras.tflite_file import Finding, Tensor
from tflite.audit.ethos_u.text import ethos_u_cell, format_ethos_u
from tflite.audit.gpu.text import format_gpu, gpu_cell
from tflite.audit.half_precision.text import format_range
from tflite.audit.report import (
    Audit,
    operator_totals,
    reason_of,
    refusals,
    type_totals,
)

# Places that are shown of one kind of finding; the JSON has all.
_SHOWN = 3


def format_audit(
    audit: Audit, integer_only: bool = False, operators: bool = False, tensors: bool = False
) -> str:
    """One file, section by section.

    Args:
        audit: The audit.
        integer_only: Whether to show what speaks against its being integer-only.
        operators: Whether to list every operator.
        tensors: Whether to list every tensor with its quantization.
    """
    sections = [_head(audit), _operators(audit), _types(audit), _facts(audit), _xnnpack(audit)]
    if audit.half_precision is not None:
        sections.append(format_range(audit.half_precision))
    if audit.gpu is not None:
        sections.append(format_gpu(audit.gpu))
    if audit.ethos_u is not None:
        sections.append(format_ethos_u(audit.ethos_u))
    if operators:
        sections.append(_every_operator(audit))
    if tensors:
        sections.append(_every_tensor(audit))
    findings = list(audit.integer_findings) if integer_only else []
    shown = {finding.rule for finding in findings}
    findings += [finding for finding in audit.warnings if finding.rule not in shown]
    sections.append(format_findings(findings) or "no warnings")
    return "\n\n".join(section for section in sections if section)


def format_summary(audits: Sequence[Audit]) -> str:
    """Several files side by side, one row each."""
    headers = ["model", "file size", "operators", "MACs", "weights", "arena", "XNNPACK"]
    headers += ["partitions", "integer-only", "warnings", "oldest TFLite"]
    asked_gpu = any(audit.gpu is not None for audit in audits)
    asked_half = any(audit.half_precision is not None for audit in audits)
    accelerators = list(
        dict.fromkeys(
            one.accelerator
            for audit in audits
            if audit.ethos_u is not None
            for one in audit.ethos_u.compilations
        )
    )
    headers += ["half precision"] * asked_half + ["GPU"] * asked_gpu + accelerators
    rows = []
    for audit in audits:
        asked, count = audit.delegation, len(audit.graph.operators)
        rows.append(
            [
                pathlib.Path(audit.path).name,
                _megabytes(audit.graph.size_bytes),
                count,
                _all_macs(audit),
                _megabytes(audit.weight_bytes),
                _kilobytes(audit.memory.arena_bytes),
                None if asked.error else f"{len(asked.delegated) / max(count, 1):.1%}",
                None if asked.error else asked.partitions,
                audit.integer_only,
                sum(finding.severity == "warning" for finding in audit.warnings),
                _runtime(audit),
                *[audit.half_precision and audit.half_precision.holds] * asked_half,
                *[gpu_cell(audit.gpu)] * asked_gpu,
                *[ethos_u_cell(audit.ethos_u, name) for name in accelerators],
            ]
        )
    return format_table(headers, rows)


def format_findings(findings: Sequence[Finding]) -> str:
    """Findings rule by rule: where, what to do, and why it matters."""
    rules: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        rules.setdefault((finding.severity, finding.rule), []).append(finding)
    blocks = []
    for (severity, rule), found in rules.items():
        places = [_place(finding) for finding in found[:_SHOWN]]
        if len(found) > _SHOWN:
            places.append(f"and {len(found) - _SHOWN} more")
        advice = dict.fromkeys(finding.advice for finding in found[:_SHOWN])
        lines = [f"{severity}: {rule}, {len(found)}x", *(f"  {place}" for place in places)]
        lines += [f"  do: {text}" for text in advice if text]
        lines.append(f"  why: {reason_of(found[0])}")
        blocks.append("\n".join(map(wrapped, lines)))
    return "\n\n".join(blocks)


def _place(finding):
    where = []
    if finding.operator is not None:
        where.append(f"operator {finding.operator}")
    if finding.subgraph:
        where.append(f"subgraph {finding.subgraph}")
    suffix = f" ({', '.join(where)})" if where else ""
    return finding.message + suffix


def _head(audit):
    graph = audit.graph
    lines = [
        f"{audit.path}: {_megabytes(graph.size_bytes)}, {len(graph.operators):,} operators, "
        f"{len(graph.tensors):,} tensors"
    ]
    if len(graph.subgraphs) > 1:
        others = len(graph.subgraphs) - 1
        lines.append(f"the figures are of its main graph; {others} more are bodies of control flow")
    lines += [f"input   {_describe(tensor)}" for tensor in graph.inputs]
    lines += [f"output  {_describe(tensor)}" for tensor in graph.outputs]
    return "\n".join(lines)


def _describe(tensor: Tensor):
    shape = ", ".join("?" if size == -1 else str(size) for size in tensor.shape_signature)
    quantization = _quantization(tensor)
    return f"{tensor.name}  {tensor.dtype} ({shape})" + (f"  {quantization}" * bool(quantization))


def _quantization(tensor):
    if not tensor.scales:
        return ""
    if len(tensor.scales) > 1:
        low, high = min(tensor.scales), max(tensor.scales)
        return (
            f"{len(tensor.scales)} scales {low:.3g} to {high:.3g} on dimension "
            f"{tensor.quantized_dimension}"
        )
    return f"scale {tensor.scales[0]:.6g}, zero point {next(iter(tensor.zero_points), 0)}"


def _operators(audit):
    known = audit.delegation.error is None
    rows = [
        [
            total.name,
            total.count,
            f"{total.delegated}/{total.count}" if known else None,
            _macs(total.macs) if total.macs else (0 if total.macs == 0 else None),
            _kilobytes(total.read_bytes),
            _kilobytes(total.written_bytes),
            _kilobytes(total.weight_bytes),
        ]
        for total in operator_totals(audit)
    ]
    if not rows:
        return "no operators"
    headers = ["operator", "count", "XNNPACK", "MACs", "reads", "writes", "weights"]
    return format_table(headers, rows)


def _types(audit):
    rows = [
        [
            total.dtype,
            total.constants,
            _kilobytes(total.constant_bytes),
            total.activations,
            total.per_channel,
        ]
        for total in type_totals(audit)
    ]
    headers = ["type", "constants", "their size", "activations", "with scales per channel"]
    return format_table(headers, rows)


def _facts(audit):
    macs = f"{audit.macs:,} of convolutions, dense layers and matrix products"
    if not audit.macs_complete:
        macs += "; at least, as some operators' are not known (-)"
        macs = macs if audit.macs else "not known (-)"
    arena = _kilobytes(audit.memory.arena_bytes)
    if arena is None:
        arena = "not known (-)"
    else:
        arena += ", planned from the graph without kernels' scratch memory"
    if audit.memory.persistent_bytes:
        arena += f"; {_kilobytes(audit.memory.persistent_bytes)} kept between inferences"
    rows = [
        ("MACs", macs),
        ("weights", _kilobytes(audit.weight_bytes)),
        ("arena", arena),
        ("oldest runtime", _runtime_line(audit)),
        ("integer-only", "yes" if audit.integer_only else "no"),
    ]
    if audit.sizes.inputs:
        shapes = (f"{name} {'x'.join(map(str, x))}" for name, x in audit.sizes.inputs.items())
        rows.append(("figures for", f"{', '.join(shapes)}, as LiteRT allocates it"))
    if audit.sizes.reason:
        rows.append(("not known (-)", f"as {audit.sizes.reason}"))
    rows += [("", caveat) for caveat in audit.runtime.caveats]
    return "\n".join(f"{name:<16}{value}".rstrip() for name, value in rows)


def _runtime(audit):
    if audit.runtime.version is None:
        return None
    return audit.runtime.version + (" or later" if audit.runtime.unknown else "")


def _runtime_line(audit):
    runtime = audit.runtime
    parts = []
    if runtime.version:
        needed = ", ".join(f"{name} version {version}" for name, version in runtime.needed_by)
        parts.append(f"TensorFlow Lite {runtime.version}, for {needed}")
    if runtime.unknown:
        unknown = ", ".join(f"{name} version {version}" for name, version in runtime.unknown)
        parts.append(f"not known for {unknown}")
    return "; ".join(parts) or "not known"


def _xnnpack(audit):
    asked, count = audit.delegation, len(audit.graph.operators)
    if asked.error:
        return f"XNNPACK: not known, as {asked.error}"
    plural = "" if asked.partitions == 1 else "s"
    head = (
        f"XNNPACK of LiteRT {runtime_version()} runs {len(asked.delegated)} of {count} operators, "
        f"in {asked.partitions} partition{plural}"
    )
    rows = refusals(audit)
    if not rows:
        return head
    return f"{head}; not these:\n\n" + format_table(["operator", "count", "likely reason"], rows)


def _every_operator(audit):
    graph, asked = audit.graph, audit.delegation
    rows = []
    for operator, cost in zip(graph.operators, audit.costs, strict=True):
        outputs = graph.main.output_tensors(operator)
        rows.append(
            [
                str(operator.index),
                operator.label,
                str(operator.version),
                ", ".join(f"{tensor.dtype} {shape_text(tensor.shape)}" for tensor in outputs),
                _macs(cost.macs) if cost.macs else cost.macs,
                _kilobytes(cost.weight_bytes),
                None if asked.error else operator.index in asked.delegated,
                outputs[0].name if outputs else None,
            ]
        )
    headers = ["#", "operator", "version", "writes", "MACs", "weights", "XNNPACK", "tensor"]
    return format_table(headers, rows)


def _every_tensor(audit):
    rows = [
        [
            str(tensor.index),
            tensor.dtype,
            shape_text(tensor.shape),
            "constant" if tensor.is_constant else None,
            _quantization(tensor) or None,
            tensor.name,
        ]
        for tensor in audit.graph.tensors
    ]
    return format_table(["#", "type", "shape", "kind", "quantization", "tensor"], rows)


def _all_macs(audit):
    if audit.macs_complete:
        return _macs(audit.macs)
    return f"{_macs(audit.macs)} at least" if audit.macs else None


def _macs(macs):
    return None if macs is None else f"{macs / 1e6:,.3f} M"


def _kilobytes(size):
    return None if size is None else f"{size / 1e3:,.1f} kB"


def _megabytes(size):
    return f"{size / 1e6:.2f} MB"
