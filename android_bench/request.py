"""What is to be measured, and how."""

import dataclasses
from collections.abc import Sequence

from android_bench.gate import Limits
from android_bench.prepare import Luggage
from android_bench.runner import RunLength
from android_bench.verify import Verification


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be measured, and how.

    Attributes:
        luggage: Models and programs.
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
