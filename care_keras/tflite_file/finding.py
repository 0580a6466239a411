"""What an audit finds in a .tflite file."""

import dataclasses
from typing import Literal

Severity = Literal["error", "warning", "info"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        rule: Name of the rule, `"batch-matmul-zero-point"`.
        severity: `"error"`, `"warning"` or `"info"`.
        message: What it is, in one line.
        advice: What to do about it, in one line; empty if nothing.
        operator: Index of the operator in its subgraph, or `None`.
        operator_name: `"BATCH_MATMUL"`, or `None`.
        tensor: Name of the tensor, or `None`.
        subgraph: Index of the subgraph.
    """

    rule: str
    severity: Severity
    message: str
    advice: str
    operator: int | None = None
    operator_name: str | None = None
    tensor: str | None = None
    subgraph: int = 0
