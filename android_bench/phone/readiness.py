"""Waiting until a phone is fit for a measurement: cool, charged, not throttled."""

import dataclasses
import time
from collections.abc import Callable

from android_bench.phone.errors import NotReadyError
from android_bench.phone.state import State


@dataclasses.dataclass(frozen=True)
class Limits:
    """When to start.

    Attributes:
        max_celsius: Highest temperature of the processor (or battery, see
            `State.temperature`).
        min_battery: Lowest charge in percent.
        wait_seconds: How long to wait for both.
        poll_seconds: How often to look.
    """

    max_celsius: float = 45.0
    min_battery: int = 25
    wait_seconds: float = 900.0
    poll_seconds: float = 5.0


def reason_to_wait(state: State, limits: Limits) -> str | None:
    """What speaks against starting now, for people; `None` if nothing does."""
    reasons = []
    if state.temperature is not None and state.temperature > limits.max_celsius:
        which = "battery" if state.processor is None else "processor"
        reasons.append(f"{which} {state.temperature:.1f} °C > {limits.max_celsius:g} °C")
    if state.battery_level is not None and state.battery_level < limits.min_battery:
        reasons.append(f"battery {state.battery_level} % < {limits.min_battery} %")
    if state.thermal_status:
        reasons.append(f"Android reports thermal status {state.thermal_status}")
    return ", ".join(reasons) or None


def wait_until_ready(
    read: Callable[[], State],
    limits: Limits,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[State, list[State]]:
    """Waits, and says what for whenever that changes.

    Args:
        read: Gives the phone's state.
        limits: When to start.
        say: Takes a line for the user.
        sleep: Passes time.
        clock: Seconds.

    Returns:
        The state to start with, and those seen while waiting.

    Raises:
        NotReadyError: If the phone is not fit in time.
    """
    started = clock()
    seen: list[State] = []
    said = None
    while True:
        state = read()
        reason = reason_to_wait(state, limits)
        if reason is None:
            return state, seen
        seen.append(state)
        waited = clock() - started
        if waited + limits.poll_seconds > limits.wait_seconds:
            raise NotReadyError(f"after {waited:.0f} s still: {reason}")
        if said is None or clock() - said >= 30.0:
            said = clock()
            say(f"waiting: {reason}")
        sleep(limits.poll_seconds)
