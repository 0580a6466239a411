"""Whether a .tflite file computes in integers only, and which of it is slow or fragile even so."""

from collections import Counter

from care_keras.tflite_file.code_tables import code_tables
from care_keras.tflite_file.finding import Finding
from care_keras.tflite_file.records import Graph
from care_keras.tflite_file.rules import RULES

INTEGER_ONLY_RULES = (
    "integer-tensors",
    "no-dequantize",
    "no-float-quantize",
    "requantize",
    "builtin-operators",
    "no-float-elu",
    "no-div",
    "depthwise-taps",
    "batch-matmul-zero-point",
    "code-tables",
)
# What holds of float operators, and not of a table of codes that is spelled out with them.
_FLOAT_RULES = frozenset(("integer-tensors", "no-dequantize", "no-float-quantize", "no-float-elu"))


class NotIntegerOnlyError(ValueError):
    """A file is not integer-only.

    Attributes:
        findings: All that the audit found, errors and others.
    """

    def __init__(self, message: str, findings: list[Finding]):
        super().__init__(message)
        self.findings = findings


def audit_integer_only(graph: Graph) -> list[Finding]:
    """Holds a file against what an integer-only file must be.

    Every tensor is of an integer type, of any width; there is no DEQUANTIZE, no
    float QUANTIZE or ELU, and no Flex or custom operator, whose insides are not
    known. What costs speed or can break at run time does not make a file less
    integer-only, and is a warning: DIV, depthwise convolutions of more than 25
    taps, a BATCH_MATMUL whose right side has a zero point. Tables of codes that are
    spelled out in float for XNNPACK (`code_tables`) are integers, and a note.
    `rules.RULES` has the reason for each.

    Args:
        graph: From `read_graph`. All its subgraphs are looked at.

    Returns:
        What was found. The file is integer-only if none of it is an
        `"error"`; what remains are warnings and notes.
    """
    inside = {
        (subgraph.index, operator.index)
        for subgraph in graph.subgraphs
        for table in code_tables(subgraph)
        for operator in table.operators
    }
    return [
        finding
        for name in INTEGER_ONLY_RULES
        for finding in RULES[name].findings(graph)
        if name not in _FLOAT_RULES or (finding.subgraph, finding.operator) not in inside
    ]


def require_integer_only(graph: Graph) -> list[Finding]:
    """The same, for a caller that can go on only if the file is integer-only.

    Raises:
        NotIntegerOnlyError: If it is not.
    """
    findings = audit_integer_only(graph)
    summary = summarize_errors(findings)
    if summary:
        raise NotIntegerOnlyError(
            f"The file is not integer-only: {summary}. Received: {graph.source}", findings
        )
    return findings


def errors_inside(graph: Graph, findings: list[Finding]) -> list[Finding]:
    """The errors among findings, less those of a last DEQUANTIZE that makes an output float."""
    main = graph.main
    last = {
        operator.index
        for operator in main.operators
        if operator.name == "DEQUANTIZE"
        and all(index in main.outputs and index not in main.consumers for index in operator.outputs)
    }
    return [
        one
        for one in findings
        if one.severity == "error" and not (one.subgraph == main.index and one.operator in last)
    ]


def summarize_errors(findings: list[Finding]) -> str:
    """The errors among findings as `summarize` says them; empty without errors."""
    return summarize([finding for finding in findings if finding.severity == "error"])


def advise(findings: list[Finding]) -> list[str]:
    """A line for each rule: `"DIV, 3 times: multiply by the inverse"`."""
    counts = Counter(finding.rule for finding in findings)
    first = {finding.rule: finding for finding in reversed(findings)}
    return [
        f"{first[rule].message}{f', {count} times' * (count > 1)}: {first[rule].advice}"
        for rule, count in counts.items()
    ]


def summarize(findings: list[Finding]) -> str:
    """`"3 integer-tensors (first: ...), 1 no-div (first: ...)"`."""
    counts = Counter(finding.rule for finding in findings)
    first = {finding.rule: finding.message for finding in reversed(findings)}
    return ", ".join(f"{count} {rule} (first: {first[rule]})" for rule, count in counts.items())
