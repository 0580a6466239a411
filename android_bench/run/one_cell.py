"""One run of benchmark_model on the phone."""

import dataclasses
import re

from android_bench.phone.connection import Phone
from android_bench.phone.device import mask_of
from android_bench.phone.errors import PhoneError
from android_bench.run.delegation import (
    DelegateOptions,
    Delegation,
    delegation_of,
    environment_for,
    flags_for,
    refusal,
)
from android_bench.run.plan import PROBE, Cell
from tflite.benchmark_tool.family import Family, Program
from tflite.benchmark_tool.log import BenchmarkLog, parse_log
from tflite.benchmark_tool.messages import failure_reason
from tflite.child.program import Finished

_KEPT_OUTPUT = 20_000


@dataclasses.dataclass(frozen=True)
class RunLength:
    """How long a round of a cell lasts.

    Attributes:
        runs: Inferences, at least.
        seconds: Time, at least.
        warmup_runs: Warm-up inferences, at least.
        warmup_seconds: Warm-up time, at least.
        single_runs: Further runs that are timed one by one; 0 for none.
        single_seconds: Time of these, about, at most.
        timeout_seconds: When the process is ended.
    """

    runs: int = 50
    seconds: float = 1.0
    warmup_runs: int = 1
    warmup_seconds: float = 0.5
    single_runs: int = 36
    single_seconds: float = 15.0
    timeout_seconds: float = 300.0


@dataclasses.dataclass(frozen=True)
class Tools:
    """What was pushed to the phone.

    Attributes:
        folder: The work folder.
        binary: Path of benchmark_model.
        program: What it is.
        models: Path of each model by its checksum.
        options: What delegates need.
        cores: Numbers of the cores of each group.
    """

    folder: str
    binary: str
    program: Program
    models: dict[str, str]
    options: DelegateOptions
    cores: dict[str, tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class CellRun:
    """What a run of a cell gave.

    Attributes:
        status: `"ok"` or `"failed"`.
        reason: Why it failed, in one line, or `None`.
        command: What was run.
        output: What it printed.
        log: The same, understood; `None` if it could not be.
        delegation: What ran the graph, where there is a log.
        error: What broke between this machine and the phone, or `None`.
    """

    status: str
    reason: str | None
    command: list[str]
    output: str
    log: BenchmarkLog | None = None
    delegation: Delegation | None = None
    error: PhoneError | None = None


def command_for(cell: Cell, tools: Tools, *flags: str) -> list[str]:
    """Arguments of a run: pinned to its cores."""
    return [
        "taskset",
        mask_of(tools.cores[cell.cores]),
        *environment_for(cell.delegate, tools.options),
        tools.binary,
        f"--graph={tools.models[cell.sha256]}",
        f"--num_threads={cell.threads}",
        *flags_for(tools.program, cell.delegate, tools.options),
        *flags,
    ]


def length_flags(round_number: int, length: RunLength, family: Family) -> list[str]:
    """Flags of a round; the probe is short, and watches memory, which takes time of its own."""
    if round_number == PROBE:
        return [
            "--num_runs=3",
            "--min_secs=0",
            "--warmup_runs=1",
            "--warmup_min_secs=0",
            "--report_peak_memory_footprint=true",
            *family.state,
        ]
    return [
        f"--num_runs={length.runs}",
        f"--min_secs={length.seconds:g}",
        f"--warmup_runs={length.warmup_runs}",
        f"--warmup_min_secs={length.warmup_seconds:g}",
    ]


def run_cell(
    phone: Phone,
    cell: Cell,
    tools: Tools,
    flags: list[str],
    timeout_seconds: float,
    partial_allowed: bool,
    fallback_allowed: bool,
) -> CellRun:
    """Runs a cell once; whatever happens on the phone is a result.

    Args:
        phone: The phone.
        cell: What to run.
        tools: What is on the phone.
        flags: Further flags of benchmark_model.
        timeout_seconds: When the process is ended.
        partial_allowed: Whether the delegate may take a part of the graph.
        fallback_allowed: Whether it may take nothing.
    """
    command = command_for(cell, tools, *flags)
    try:
        finished = phone.shell(command, timeout_seconds)
    except PhoneError as error:
        output = getattr(error, "output", "")[-_KEPT_OUTPUT:]
        return CellRun("failed", str(error), command, output, error=error)
    output = finished.output[-_KEPT_OUTPUT:]
    try:
        log = _understand(finished)
    except ValueError as error:
        return CellRun("failed", str(error), command, output)
    delegation = delegation_of(cell.delegate, log)
    reason = refusal(delegation, partial_allowed, fallback_allowed)
    status = "failed" if reason else "ok"
    return CellRun(status, reason, command, output, log, delegation)


def run_fields(run: CellRun) -> dict:
    """A run as fields of a record; a profile has a record of its own."""
    log = None
    if run.log is not None:
        log = dataclasses.asdict(dataclasses.replace(run.log, profile=()))
        del log["profile"]
    return {
        "status": run.status,
        "reason": run.reason,
        "command": run.command,
        "output": run.output,
        "log": log,
        "delegation": None if run.delegation is None else dataclasses.asdict(run.delegation),
    }


def outcome(run: CellRun) -> str:
    """A run in one line, for people."""
    if run.status == "failed":
        return f"FAILED: {run.reason}"
    regular = run.log.regular
    typical = regular.median_us if regular.median_us is not None else regular.avg_us
    return f"{typical / 1e3:.3g} ms, {run.delegation.delegate} runs {run.delegation.describe()}"


def end_processes(phone: Phone, folder: str) -> None:
    """Ends what still runs from a work folder: a run whose connection broke may go on."""
    # The brackets keep the pattern from being found in the command that holds it.
    phone.shell(["pkill", "-KILL", "-f", re.escape(f"{folder}/") + "[b]enchmark_model"])


def _understand(finished: Finished) -> BenchmarkLog:
    if finished.signal_name:
        raise ValueError(
            f"benchmark_model {finished.ending}. Received: {failure_reason(finished.output)!r}"
        )
    log = parse_log(finished.output, finished.exit_code)
    if not log.regular.count:
        raise ValueError("benchmark_model timed no inference. Received: a dry run")
    return log
