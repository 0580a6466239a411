"""Delegates: the flags that ask for one, and whether it was given."""

import dataclasses

from android_bench.run.plan import Cell
from tflite.benchmark_tool.log import BenchmarkLog

# Names in benchmark_model's messages.
_NAMES = {"xnnpack": "XNNPACK", "gpu": "GPU", "nnapi": "NNAPI", "npu": "NNAPI"}


@dataclasses.dataclass(frozen=True)
class DelegateOptions:
    """What delegates need besides their name.

    Attributes:
        npu_accelerator: NNAPI's name of the accelerator that `npu` stands for.
        external_path: On the phone: the library of `external`.
        external_options: `key:value,...` for it.
    """

    npu_accelerator: str | None = None
    external_path: str | None = None
    external_options: str | None = None


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


def flags_for(delegate: str, options: DelegateOptions) -> list[str]:
    """Flags of benchmark_model that ask for a delegate.

    Raises:
        ValueError: If it needs an option that is missing.
    """
    if delegate == "xnnpack":
        # Explicitly, as it then says how much of the graph it runs.
        return ["--use_xnnpack=true"]
    if delegate == "cpu":
        return ["--use_xnnpack=false"]
    if delegate == "gpu":
        return ["--use_gpu=true"]
    if delegate == "nnapi":
        return ["--use_nnapi=true"]
    if delegate == "npu":
        if not options.npu_accelerator:
            raise ValueError("The delegate npu needs --npu_accelerator. Received: npu")
        return ["--use_nnapi=true", f"--nnapi_accelerator_name={options.npu_accelerator}"]
    if delegate == "external":
        if not options.external_path:
            raise ValueError("The delegate external needs --external_delegate. Received: external")
        flags = [f"--external_delegate_path={options.external_path}"]
        if options.external_options:
            flags.append(f"--external_delegate_options={options.external_options}")
        return flags
    raise ValueError(f"There is no such delegate. Received: {delegate}")


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


def check_options(cells: list[Cell], options: DelegateOptions) -> None:
    """Looks whether every cell's delegate has what it needs.

    Raises:
        ValueError: If one has not.
    """
    for delegate in {cell.delegate for cell in cells}:
        flags_for(delegate, options)
