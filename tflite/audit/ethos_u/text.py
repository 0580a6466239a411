"""What Vela makes of a .tflite file, as text for people."""

from collections.abc import Iterator

from care_keras.console.table import format_table
from care_keras.console.wrapped import wrapped
from tflite.audit.ethos_u.records import Compilation, EthosUAudit

_LEFT = ["stays on the CPU", "count", "writes", "for", "Vela's reason"]


def format_ethos_u(audit: EthosUAudit) -> str:
    """One file's section."""
    done = [one for one in audit.compilations if one.error is None]
    failed = [one for one in audit.compilations if one.error is not None]
    blocks = [f"Arm Ethos-U: compiled by Vela {audit.vela_version}, not run"]
    blocks += [wrapped(f"{one.accelerator} not known: {one.error}") for one in failed]
    if done:
        blocks.append(_shares(done))
    if any(one.estimate for one in done):
        blocks.append(_assumed([one for one in done if one.estimate]))
    if left := _left(done):
        blocks.append(format_table(_LEFT, left))
    blocks.append("\n".join(map(wrapped, _notes(audit, done))))
    return "\n\n".join(block for block in blocks if block)


def ethos_u_cell(audit: EthosUAudit | None, accelerator: str) -> str | None:
    """One accelerator in a few words, for a table."""
    for one in audit.compilations if audit else ():
        if one.accelerator == accelerator:
            if one.error is not None:
                return "failed"
            time = f", {one.estimate.inference_ms:.4g} ms" if one.estimate else ""
            return f"{one.on_npu / max(one.operators, 1):.1%}{time}"
    return None


def ethos_u_failures(audit: EthosUAudit | None, min_share: float) -> Iterator[str]:
    """Why a file does not pass, in a few words: once for all accelerators of which it is so."""
    causes: dict[str, list[str]] = {}
    for one in audit.compilations if audit else ():
        if not one.passed(min_share):
            causes.setdefault(_cause(one, audit.floats, min_share), []).append(one.accelerator)
    for cause, accelerators in causes.items():
        yield f"{', '.join(accelerators)}: {cause}"


def _cause(one, floats, min_share):
    if one.error is not None:
        return one.error
    if not one.on_npu:
        return f"nothing runs on the NPU{', as the file computes in floats' if floats else ''}"
    macs = "" if one.macs_on_npu is None else f" and {one.macs_on_npu:.1%} of MACs"
    return (
        f"{one.on_npu} of {one.operators} operators{macs} run on the NPU, less than {min_share:.0%}"
    )


def _shares(compilations):
    rows = [
        [
            one.accelerator,
            f"{one.on_npu} of {one.operators}",
            None if one.macs_on_npu is None else f"{one.macs_on_npu:.1%}",
            one.stretches,
            one.estimate and one.estimate.npu_cycles,
            one.estimate and one.estimate.cycles,
            one.estimate and one.estimate.inference_ms,
        ]
        for one in compilations
    ]
    headers = [
        "accelerator",
        "operators on it",
        "MACs",
        "stretches",
        "NPU cycles",
        "total cycles",
        "ms",
    ]
    return format_table(headers, rows)


def _assumed(compilations: list[Compilation]):
    rows = []
    for one in compilations:
        estimate = one.estimate
        used = estimate.memory_bytes
        rows.append(
            [
                one.accelerator,
                f"{estimate.clock_hz / 1e6:,.0f} MHz",
                estimate.system_config,
                estimate.memory_mode,
                *map(
                    _kilobytes,
                    (
                        used["sram"],
                        used["dram"],
                        used["on_chip_flash"] + used["off_chip_flash"],
                    ),
                ),
            ]
        )
    headers = ["assumed of", "clock", "system", "memory mode", "SRAM", "DRAM", "flash"]
    return format_table(headers, rows)


def _left(compilations):
    """Rows of what stays on the CPU, the most frequent first."""
    rows: dict[tuple, list[str]] = {}
    for one in compilations:
        kinds: dict[tuple[str, str], list[str]] = {}
        for left in one.on_cpu:
            kinds.setdefault((left.operator, _short(left)), []).append(left.tensor)
        for (operator, reason), tensors in kinds.items():
            rows.setdefault((operator, *_count(tensors), reason), []).append(one.accelerator)
    everywhere = len(compilations)
    return [
        [*what, "all" if len(names) == everywhere else ", ".join(names), reason]
        for (*what, reason), names in sorted(rows.items(), key=lambda row: -row[0][1])
    ]


def _count(tensors):
    more = f" and {len(tensors) - 1} more" if len(tensors) > 1 else ""
    return len(tensors), f"{tensors[0]}{more}"


def _short(left):
    """The first line of a reason, without the tensor's name that it may end in."""
    if left.reason is None:
        return "not said"
    first = left.reason.splitlines()[0]
    return first[: first.rindex(" (")] if first.endswith(")") and " (" in first else first


def _notes(audit, done):
    if any(one.estimate for one in done):
        yield (
            "cycles and times are Vela's estimates for its own decisions, not measured: of the NPU "
            "alone, without what stays on the CPU, and for the system and memory above, between "
            "which Arm says not to compare them"
        )
    if any(one.on_cpu for one in done) and audit.floats:
        if any(one.on_npu for one in done):
            yield (
                "do: convert to int8 without float operators inside (no --target=xnnpack): the "
                "NPU takes none, and stops at each of them"
            )
        else:
            yield "do: convert the model to int8 (care_keras.convert --int8): the NPU has no floats"


def _kilobytes(size):
    return f"{size / 1e3:,.1f} kB" if size else None
