import dataclasses

import pytest

from android_bench.phone.errors import NotReadyError
from android_bench.phone.readiness import Limits, reason_to_wait, wait_until_ready
from android_bench.phone.state import State
from tests.android_bench.made_records import STATE

LIMITS = Limits(max_celsius=40.0, min_battery=30, wait_seconds=100.0, poll_seconds=5.0)


def state(**changes):
    return dataclasses.replace(State(**STATE), **changes)


class Time:
    """Passes when slept, and notes what was said."""

    def __init__(self):
        self.now, self.said = 0.0, []

    def wait(self, states, limits=LIMITS):
        states = iter(states)
        return wait_until_ready(
            lambda: next(states), limits, self.said.append, self.sleep, lambda: self.now
        )

    def sleep(self, seconds):
        self.now += seconds


def test_reasons():
    assert reason_to_wait(state(), LIMITS) is None
    assert reason_to_wait(state(processor=40.1), LIMITS) == "processor 40.1 °C > 40 °C"
    assert reason_to_wait(state(processor=None, battery=41.0), LIMITS).startswith("battery 41")
    assert reason_to_wait(state(battery_level=29), LIMITS) == "battery 29 % < 30 %"
    assert "thermal status 2" in reason_to_wait(state(thermal_status=2), LIMITS)
    # What the phone does not tell is no reason.
    unknown = state(processor=None, battery=None, battery_level=None, thermal_status=None)
    assert reason_to_wait(unknown, LIMITS) is None


def test_waiting_until_it_has_cooled():
    time = Time()
    hot = [state(processor=45.0 - number) for number in range(10)]
    ready, seen = time.wait(hot)
    assert ready.processor == 40.0 and [one.processor for one in seen] == [45, 44, 43, 42, 41]
    assert time.now == 25.0 and time.said == ["waiting: processor 45.0 °C > 40 °C"]


def test_giving_up_says_why():
    time = Time()
    with pytest.raises(NotReadyError, match=r"after 100 s still: battery 3 % < 30 %"):
        time.wait([state(battery_level=3)] * 50)
    # It is said again now and then, so that nobody takes it for hung.
    assert len(time.said) == 4
