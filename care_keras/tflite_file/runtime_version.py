"""The oldest TFLite runtime that can run a file, by the versions of its operators."""

import dataclasses

from care_keras.tflite_file.records import Graph, Operator, Subgraph
from care_keras.tflite_file.runtime_version_table import OLDEST_RUNTIME


@dataclasses.dataclass(frozen=True)
class RuntimeRequirement:
    """What a file needs of a runtime.

    Attributes:
        version: Oldest TensorFlow Lite release, counted as TensorFlow's; `None`
            if no operator of the file is in the table.
        needed_by: The operators that need that release: `("GELU", 2)`.
        unknown: Those that the table does not have, custom ones too: what
            they need is not known.
        caveats: What a kernel needs beyond its version, one line each.
    """

    version: str | None
    needed_by: tuple[tuple[str, int], ...]
    unknown: tuple[tuple[str, int], ...]
    caveats: tuple[str, ...]


def oldest_runtime(graph: Graph) -> RuntimeRequirement:
    """The oldest runtime that knows all operators of a file, in all its subgraphs.

    The version says when a definition appeared, as converters count it in the
    metadata `min_runtime_version`. It does not say when each kernel learned
    each type: such cases, where they were measured, are in `caveats`.
    """
    needs: dict[tuple[str, int], str | None] = {}
    caveats = {}
    for subgraph in graph.subgraphs:
        for operator in subgraph.operators:
            needs[operator.label, operator.version] = runtime_of(operator.name, operator.version)
            caveats |= dict.fromkeys(_caveats(subgraph, operator))
    known = [version for version in needs.values() if version is not None]
    oldest = max(known, key=version_key, default=None)
    return RuntimeRequirement(
        version=oldest,
        needed_by=tuple(sorted(key for key, version in needs.items() if version == oldest))
        if oldest
        else (),
        unknown=tuple(sorted(key for key, version in needs.items() if version is None)),
        caveats=tuple(caveats),
    )


def runtime_of(operator: str, version: int) -> str | None:
    """Oldest runtime for one version of one operator: `"2.3.0"`, `None` if it is not known."""
    releases = OLDEST_RUNTIME.get(operator, "").split()
    if not 1 <= version <= len(releases) or releases[version - 1] == "-":
        return None
    return releases[version - 1]


def version_key(version: str) -> tuple[int, ...]:
    """Sorts releases: 2.14.0 comes after 2.3.0."""
    return tuple(int(part) for part in version.split("."))


def _caveats(subgraph: Subgraph, operator: Operator):
    types = {tensor.dtype for tensor in subgraph.output_tensors(operator)}
    if operator.name == "DIV" and "int8" in types:
        # Measured with tflite-runtime 2.14: the kernel came without a new version.
        yield "DIV on int8: runtimes up to 2.14 have no kernel for it"
