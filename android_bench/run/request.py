"""What is to be measured, and how; and whether a phone can do it."""

import dataclasses
from collections.abc import Sequence

from android_bench.phone.device import Device
from android_bench.phone.readiness import Limits
from android_bench.run.delegation import DelegateOptions, check_options, flags_for
from android_bench.run.npu import check_libraries
from android_bench.run.one_cell import RunLength
from android_bench.run.plan import Cell, matrix
from android_bench.run.prepare import Luggage, check_binary
from android_bench.run.verify import Verification
from tflite.benchmark_tool.family import Program


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be measured, and how.

    Attributes:
        luggage: Models and programs.
        program: What benchmark_model is, `None` until it was asked.
        delegates: Delegates to use.
        threads: Numbers of threads.
        cores: Groups of cores.
        rounds: Rounds in which every cell is measured once.
        seed: Of the order.
        length: How long a cell is measured in a round.
        limits: When a measurement may start.
        cooldown_seconds: Rest between measurements.
        partial: Delegates that may take part of a graph only.
        fallback_allowed: Whether a delegate may take nothing.
        keep: Whether the work folder stays on the phone.
        reconnect_seconds: How long to wait for a phone that was lost.
        verification: What is checked about outputs, or `None`.
        profile: Whether to take a profile per operation at the end.
    """

    luggage: Luggage
    program: Program | None = None
    delegates: Sequence[str] = ("xnnpack",)
    threads: Sequence[int] = (1,)
    cores: Sequence[str] = ("big",)
    rounds: int = 5
    seed: int = 0
    length: RunLength = dataclasses.field(default_factory=RunLength)
    limits: Limits = dataclasses.field(default_factory=Limits)
    cooldown_seconds: float = 2.0
    partial: frozenset[str] = frozenset({"xnnpack"})
    fallback_allowed: bool = False
    keep: bool = False
    reconnect_seconds: float = 120.0
    verification: Verification | None = None
    profile: bool = False


def check_request(
    device: Device, request: Request
) -> tuple[dict[str, tuple[int, ...]], list[Cell], list[Cell]]:
    """Looks whether a phone can do what is asked for, before anything is sent to it.

    Args:
        device: The phone.
        request: What to measure.

    Returns:
        The numbers of the cores of each group, the cells to measure, and those
        that are left out for having more threads than cores.

    Raises:
        ValueError: If it lacks the cores, a delegate lacks an option, or benchmark_model
            lacks a delegate.
        BinaryError: If benchmark_model is none for it.
    """
    groups = {name: device.cores_named(name) for name in request.cores}
    counts = {name: len(numbers) for name, numbers in groups.items()}
    luggage = request.luggage
    cells, left_out = matrix(
        luggage.models, request.delegates, request.threads, request.cores, counts
    )
    if not cells:
        raise ValueError(
            "Every cell would have more threads than cores. "
            f"Received: threads={list(request.threads)}, cores={counts} on {device.serial}"
        )
    options = luggage.options
    if luggage.external is not None:
        options = dataclasses.replace(options, external_path="(pushed)")
    check_options(request.delegates, options)
    _check_npu(device, request)
    check_binary(luggage, device)
    if request.program is not None:
        check_program(request, dataclasses.replace(options, npu_folder="(pushed)"))
    return groups, cells, left_out


def check_program(request: Request, options: DelegateOptions) -> None:
    """Looks whether benchmark_model can do what is asked for.

    Args:
        request: What to measure, with what the program is.
        options: What delegates need, as it will be on the phone.

    Raises:
        ValueError: If it lacks a delegate, or takes no inputs that are to be verified.
    """
    program = request.program
    for delegate in request.delegates:
        flags_for(program, delegate, options)
    if request.verification is not None and not program.family.feeds:
        raise ValueError(
            f"{program.family.title} takes no inputs and writes no outputs: measure without "
            "--verify, or verify with TensorFlow Lite's. Received: --verify"
        )


def _check_npu(device, request):
    luggage = request.luggage
    if "npu" not in request.delegates:
        if luggage.npu:
            raise ValueError("Libraries for an NPU need --delegate=npu. Received: --npu_library")
        return
    check_libraries(luggage.npu, luggage.models, device.abis)
    if ";" in luggage.folder:
        # It separates folders where a DSP looks for libraries.
        raise ValueError(
            "For the delegate npu the work folder's name must have no semicolon. "
            f"Received: {luggage.folder!r}"
        )
