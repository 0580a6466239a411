"""Delegates: the flags that ask for one, and whether it was given."""

import dataclasses
from collections.abc import Iterable

from tflite.benchmark_tool.family import Program
from tflite.benchmark_tool.log import BenchmarkLog

# Names in benchmark_model's messages.
_NAMES = {"xnnpack": "XNNPACK", "gpu": "GPU", "nnapi": "NNAPI", "npu": "NPU"}


@dataclasses.dataclass(frozen=True)
class DelegateOptions:
    """What delegates need besides their name.

    Attributes:
        nnapi_accelerator: NNAPI's name of the accelerator that `nnapi` is to use.
        external_path: On the phone: the library of `external`.
        external_options: `key:value,...` for it.
        npu_folder: On the phone: the folder with the libraries of `npu`.
        npu_compiles: Whether a compiler plugin is among them.
    """

    nnapi_accelerator: str | None = None
    external_path: str | None = None
    external_options: str | None = None
    npu_folder: str | None = None
    npu_compiles: bool = False


@dataclasses.dataclass(frozen=True)
class Delegation:
    """What ran a cell; `None` is what the output does not say.

    Attributes:
        delegate: The one that was asked for.
        coverage: `"all"`, `"part"` or `"none"` of the graph.
        delegated_nodes: Nodes that it runs.
        nodes: Nodes of the graph.
        partitions: Parts of the graph that it runs.
    """

    delegate: str
    coverage: str | None
    delegated_nodes: int | None
    nodes: int | None
    partitions: int | None

    def describe(self) -> str:
        """`"part (41 of 60 nodes, 3 partitions)"`."""
        details = []
        if self.delegated_nodes is not None:
            of = f" of {self.nodes}" if self.nodes is not None else ""
            details.append(f"{self.delegated_nodes}{of} nodes")
        if self.partitions is not None:
            details.append(f"{self.partitions} partition{'s' * (self.partitions != 1)}")
        text = self.coverage or "unknown"
        return f"{text} ({', '.join(details)})" if details else text


def flags_for(program: Program, delegate: str, options: DelegateOptions) -> list[str]:
    """Flags of benchmark_model that ask for a delegate.

    Raises:
        ValueError: If the program has no such delegate.
    """
    return program.delegate_flags(
        delegate,
        {
            "nnapi_accelerator": options.nnapi_accelerator,
            "external": options.external_path,
            "external_options": options.external_options,
            "dispatch": options.npu_folder,
            "compiler": options.npu_folder if options.npu_compiles else None,
        },
    )


def environment_for(delegate: str, options: DelegateOptions) -> list[str]:
    """What has to stand before benchmark_model for its libraries to be found.

    The vendor's own libraries are loaded by their names alone; Qualcomm's also has the DSP
    look for its part, in `ADSP_LIBRARY_PATH`.
    """
    if delegate != "npu" or options.npu_folder is None:
        return []
    names = ("LD_LIBRARY_PATH", "ADSP_LIBRARY_PATH")
    return ["env", *(f"{name}={options.npu_folder}" for name in names)]


def delegation_of(delegate: str, log: BenchmarkLog) -> Delegation:
    """What a log says of the delegate that was asked for."""
    if delegate == "cpu":
        taken = next((use for use in log.delegates if use.coverage in ("all", "part")), None)
        # The kernels of TFLite itself run what nothing else took.
        coverage = "all" if taken is None else "part" if taken.coverage == "part" else "none"
        return Delegation(delegate, coverage, None, None, None)
    name = _NAMES.get(delegate)
    uses = [
        use
        for use in log.delegates
        if use.name == name or (name is None and use.name != "XNNPACK" and use.explicit)
    ]
    if not uses or (name or "EXTERNAL") in log.unapplied_delegates:
        return Delegation(delegate, "none", 0, None, 0)
    use = uses[0]
    partitions = use.kernels if use.kernels is not None else use.partitions
    return Delegation(delegate, use.coverage, use.delegated_nodes, use.nodes, partitions)


def refusal(delegation: Delegation, partial_allowed: bool, fallback_allowed: bool) -> str | None:
    """Why a cell counts as failed for its delegation; `None` if it does not."""
    if delegation.coverage == "none" and not fallback_allowed:
        if delegation.delegate == "cpu":
            return "a delegate ran the graph though none was asked for"
        return f"{delegation.delegate} ran nothing: the CPU did (--allow_fallback accepts it)"
    if delegation.coverage == "part" and not partial_allowed:
        return (
            f"{delegation.delegate} ran only {delegation.describe()} "
            f"(--allow_partial={delegation.delegate} accepts it)"
        )
    return None


def check_options(delegates: Iterable[str], options: DelegateOptions) -> None:
    """Looks whether every delegate has what it needs, but for an NPU's libraries.

    Raises:
        ValueError: If one has not.
    """
    if "external" in delegates and not options.external_path:
        raise ValueError("The delegate external needs --external_delegate. Received: external")
    if "nnapi" not in delegates and options.nnapi_accelerator:
        raise ValueError(
            "Only the delegate nnapi has accelerators by name. "
            f"Received: --nnapi_accelerator={options.nnapi_accelerator}"
        )
