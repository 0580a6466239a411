"""What Vela makes of a .tflite file for Ethos-U NPUs, and when that is enough."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class LeftOperator:
    """An operator that stays on the CPU.

    Attributes:
        operator: `"SPACE_TO_DEPTH"`.
        tensor: Name of what it writes.
        reason: Vela's own words, one line or several; `None` where it says nothing.
    """

    operator: str
    tensor: str
    reason: str | None


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What Vela expects of the NPU. Operators on the CPU are not in it.

    Attributes:
        cycles: Of one inference, waits for memory with it.
        npu_cycles: Of computing alone, as if memory were never waited for.
        inference_ms: `cycles` at `clock_hz`.
        clock_hz: The NPU's clock in `system_config`.
        system_config: Clocks, latencies and widths of memory, a name in Vela's configuration.
        memory_mode: What lies in which memory, likewise.
        memory_bytes: Bytes used of each memory: `sram`, `dram`, `on_chip_flash`,
            `off_chip_flash`. Weights lie where `memory_mode` has them.
    """

    cycles: int
    npu_cycles: int
    inference_ms: float
    clock_hz: float
    system_config: str
    memory_mode: str
    memory_bytes: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Compilation:
    """A file compiled for one accelerator. Counts are of the file's main graph.

    Attributes:
        accelerator: `"ethos-u65-256"`.
        error: Why there is nothing to say, or `None`.
        operators: Operators of the file.
        on_npu: How many of them the NPU runs, those that Vela does without counted in.
        macs_on_npu: Share of the file's multiply-accumulates that is theirs; `None` without any.
        stretches: How many stretches of operators the NPU runs one by one, with the CPU between.
        on_cpu: What stays on the CPU.
        estimate: Vela's, `None` where nothing runs on the NPU.
    """

    accelerator: str
    error: str | None = None
    operators: int = 0
    on_npu: int = 0
    macs_on_npu: float | None = None
    stretches: int = 0
    on_cpu: tuple[LeftOperator, ...] = ()
    estimate: Estimate | None = None

    def passed(self, min_share: float) -> bool:
        """Whether the NPU runs enough: that share of operators, and of multiply-accumulates."""
        share = self.on_npu / max(self.operators, 1)
        least = share if self.macs_on_npu is None else min(share, self.macs_on_npu)
        return self.error is None and least >= min_share


@dataclasses.dataclass(frozen=True)
class EthosUAudit:
    """A file compiled for every accelerator that was asked for.

    Attributes:
        vela_version: Of the compiler.
        floats: Whether the file computes in floats.
        compilations: One for each accelerator.
    """

    vela_version: str
    floats: bool
    compilations: tuple[Compilation, ...]

    def to_dict(self) -> dict:
        """Everything as plain JSON types."""
        return dataclasses.asdict(self)
