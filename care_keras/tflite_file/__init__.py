"""Reading .tflite files without running them: their graph, and what holds of it."""

from care_keras.tflite_file.finding import Finding
from care_keras.tflite_file.integer_audit import (
    NotIntegerOnlyError,
    audit_integer_only,
    require_integer_only,
)
from care_keras.tflite_file.reader import read_graph
from care_keras.tflite_file.records import Graph, Operator, Signature, Subgraph, Tensor
from care_keras.tflite_file.runtime_version import RuntimeRequirement, oldest_runtime

__all__ = [
    "Finding",
    "Graph",
    "NotIntegerOnlyError",
    "Operator",
    "RuntimeRequirement",
    "Signature",
    "Subgraph",
    "Tensor",
    "audit_integer_only",
    "oldest_runtime",
    "read_graph",
    "require_integer_only",
]
