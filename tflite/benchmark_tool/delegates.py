"""Which delegates ran a model, from what benchmark_model says of them.

A delegate that does not apply is no error to benchmark_model: it says so in one
line, or, where it was built without it, that a flag was not consumed, and runs
on the CPU. So what was asked for is held against what was applied.
"""

import dataclasses
import re

# Three wordings of the same: releases before 2020, later ones, and "not at all".
_APPLIED = re.compile(
    r"(?:Explicitly applied|Applied) (.+?) delegate, and the model graph will be "
    r"(completely|partially) executed (?:by|w/) the delegate(?: w/ (\d{1,15}) delegate kernels)?"
)
_NOT_APPLIED = re.compile(
    r"Though (.+?) delegate is explicitly applied, the model graph will not be executed"
)
_REPLACING = re.compile(
    r"Replacing (\d{1,15})(?: out of (\d{1,15}))? node\(s\) with delegate \((.+?)\) node, "
    r"yielding (\d{1,15}) partitions(?: for (.+?)\.?$)?"
)
# What a compiler plugin took from the graph before the runtime saw it: then the runtime counts
# one operation for each part. LiteRT 2.2.0, litert/compiler/plugin/compiler_plugin.cc.
_COMPILED = re.compile(
    r"Partitioned subgraph<(\d{1,15})>, selected (\d{1,15}) ops, from a total of (\d{1,15}) ops"
)
# LiteRT's program prints it for --use_npu alone.
_NPU_REQUESTED = re.compile(r"^dispatch_library_path: ")
_CREATED = re.compile(r"Created TensorFlow Lite (?:(.+?) )?delegate for ([\w ]+)")
_PROVIDED = re.compile(r"^(\w+) delegate created\.")
_REQUESTED = re.compile(
    r"Use (?:legacy )?(gpu|nnapi|xnnpack|hexagon|coreml|edgetpu)\b.*: \[1\]", re.I
)
_EXTERNAL = re.compile(r"External delegate path: \[.+\]")
_UNCONSUMED = re.compile(r"Unconsumed cmdline flags: (.*)")
_UNCONSUMED_DELEGATE = re.compile(r"--use_(\w+?)(?:=(?:true|1))?$")
# From --print_preinvoke_state and --print_postinvoke_state.
_SUBGRAPH = re.compile(r"Subgraph-(\d{1,15}) has \d+ tensors and (\d{1,15}) nodes")
_PLAN = re.compile(r"Execution plan as the list of (\d{1,15}) nodes invoked in-order")
_DELEGATE_NODE = re.compile(
    r"Node (\d{1,15}) is a (.+?) node \(.*\), which has delegated (\d{1,15}) nodes"
)


@dataclasses.dataclass(frozen=True)
class DelegateUse:
    """A delegate, and how much of the graph it runs. `None` is what the output does not say.

    Attributes:
        name: `"XNNPACK"`, `"GPU"`, `"NNAPI"`, `"NPU"`, ...
        explicit: Whether benchmark_model applied it, for a flag; otherwise the runtime
            did by itself, as it does with XNNPACK, and LiteRT's with all of them.
        coverage: `"all"`, `"part"` or `"none"` of the graph.
        kernels: Delegate kernels, each one part of the graph.
        delegated_nodes: Nodes it took over.
        nodes: Nodes of the graph it was applied to.
        partitions: Parts that the graph fell into, delegated or not.
    """

    name: str
    explicit: bool = False
    coverage: str | None = None
    kernels: int | None = None
    delegated_nodes: int | None = None
    nodes: int | None = None
    partitions: int | None = None


@dataclasses.dataclass(frozen=True)
class Delegation:
    """What ran the graph.

    Attributes:
        delegates: What was created, in order; look at `coverage`.
        unapplied: Delegates that were asked for and run nothing: the CPU's kernels did.
        unconsumed_flags: Flags that this build of the tool does not know.
    """

    delegates: tuple[DelegateUse, ...]
    unapplied: tuple[str, ...]
    unconsumed_flags: tuple[str, ...]


def parse_delegation(lines: list[str]) -> Delegation:
    """Reads it from the messages of a log, without their prefixes."""
    uses: dict[str, dict] = {}
    requested: list[str] = []
    unconsumed: list[str] = []
    replaced: dict[tuple[str, str], tuple[int, int | None, int]] = {}
    compiled: dict[str, tuple[int, int]] = {}
    dump = _StateDump()

    def note(name, **fields):
        uses.setdefault(name, {}).update(fields)

    for line in lines:
        if found := _APPLIED.search(line):
            coverage = "all" if found[2] == "completely" else "part"
            kernels = int(found[3]) if found[3] else (1 if coverage == "all" else None)
            note(found[1].upper(), explicit=True, coverage=coverage, kernels=kernels)
        elif found := _NOT_APPLIED.search(line):
            note(found[1].upper(), explicit=True, coverage="none", kernels=0)
            requested.append(found[1].upper())
        elif found := _REPLACING.search(line):
            nodes = int(found[2]) if found[2] else None
            # A graph that is prepared anew says it again: the last word counts.
            replaced[_canonical(found[3]), found[5] or ""] = (int(found[1]), nodes, int(found[4]))
            note(_canonical(found[3]))
        elif found := _COMPILED.search(line):
            compiled[found[1]] = (int(found[2]), int(found[3]))
        elif _NPU_REQUESTED.search(line):
            requested.append("NPU")
        elif found := _CREATED.search(line):
            note(_created_name(found))
        elif found := _PROVIDED.search(line):
            note(found[1].upper(), explicit=True)
        elif found := _REQUESTED.search(line):
            requested.append(found[1].upper())
        elif _EXTERNAL.search(line):
            requested.append("EXTERNAL")
        elif found := _UNCONSUMED.search(line):
            unconsumed += found[1].split()
        else:
            dump.read(line)

    for flag in unconsumed:
        if found := _UNCONSUMED_DELEGATE.match(flag):
            requested.append(found[1].upper())
        elif flag.startswith("--external_delegate_path="):
            requested.append("EXTERNAL")
    for name, counts in _sum_over_subgraphs(replaced).items():
        if name == "NPU":
            counts = _before_compilation(counts, compiled)
        note(name, **{**counts, **uses[name]})
    for name, counts in dump.counts().items():
        note(name, **{**counts, **uses.get(name, {})})
    return Delegation(
        delegates=tuple(DelegateUse(name, **fields) for name, fields in uses.items()),
        unapplied=tuple(
            name
            for name in dict.fromkeys(requested)
            if uses.get(name, {}).get("coverage") not in ("all", "part")
        ),
        unconsumed_flags=tuple(unconsumed),
    )


class _StateDump:
    """What `--print_preinvoke_state` tells of the nodes."""

    def __init__(self):
        self._subgraph = 0
        self._nodes: dict[int, int] = {}
        self._planned: dict[int, int] = {}
        self._delegated: dict[str, dict[tuple[int, int], int]] = {}

    def read(self, line):
        if found := _SUBGRAPH.search(line):
            self._subgraph = int(found[1])
            self._nodes[self._subgraph] = int(found[2])
        elif found := _PLAN.search(line):
            self._planned[self._subgraph] = int(found[1])
        elif found := _DELEGATE_NODE.search(line):
            nodes = self._delegated.setdefault(_canonical(found[2]), {})
            nodes[self._subgraph, int(found[1])] = int(found[3])

    def counts(self):
        kernels = sum(len(nodes) for nodes in self._delegated.values())
        result = {}
        for name, nodes in self._delegated.items():
            complete = sum(self._planned.values()) == len(nodes)
            result[name] = {
                "coverage": "all" if complete else "part",
                "kernels": len(nodes),
                "delegated_nodes": sum(nodes.values()),
                # Delegate nodes are appended to the graph's own.
                "nodes": sum(self._nodes.values()) - kernels,
            }
        return result


def _sum_over_subgraphs(replaced):
    totals: dict[str, list] = {}
    for (name, _), (delegated, nodes, partitions) in replaced.items():
        total = totals.setdefault(name, [0, 0, 0])
        total[0] += delegated
        total[1] = None if nodes is None or total[1] is None else total[1] + nodes
        total[2] += partitions
    return {
        name: {
            "delegated_nodes": delegated,
            "nodes": nodes,
            "partitions": partitions,
            "coverage": _coverage(delegated, nodes, partitions),
        }
        for name, (delegated, nodes, partitions) in totals.items()
    }


def _before_compilation(counts, compiled):
    """What an NPU runs, in operations of the file instead of the parts they were compiled to."""
    nodes = sum(total for _, total in compiled.values())
    if not nodes or counts["coverage"] == "none":
        return counts
    taken = sum(selected for selected, _ in compiled.values())
    complete = counts["coverage"] == "all" and taken == nodes
    return {
        "delegated_nodes": taken,
        "nodes": nodes,
        "partitions": counts["partitions"],
        "kernels": counts["delegated_nodes"],
        "coverage": "all" if complete else "part",
    }


def _coverage(delegated, nodes, partitions):
    if delegated == 0:
        return "none"
    if nodes is None:
        return "all" if partitions == 1 else "part"
    return "all" if delegated == nodes else "part"


def _created_name(found):
    kind, device = found[1], found[2].strip()
    if kind:
        return kind.upper()
    # The delegate's provider calls Apple's one a GPU, too.
    return {"METAL": "GPU", "SELECT TF OPS": "FLEX"}.get(device.upper(), device.upper())


def _canonical(node_name):
    """`"TfLiteGpuDelegateV2"` -> `"GPU"`."""
    # LiteRT's accelerators: `kDelegateName` in 2.2.0's litert/runtime/dispatch/
    # dispatch_delegate.cc, and LITERT_CL, LITERT_OPENGL by the GPU's backend.
    if node_name == "DispatchDelegate":
        return "NPU"
    if node_name.startswith("LITERT_"):
        return "GPU"
    return re.sub(r"^TfLite|Delegate(V\d+)?$", "", node_name).upper() or node_name
