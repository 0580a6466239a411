import pytest

from android_bench.phone.device import (
    describe,
    integer,
    mask_of,
    parse_numbers,
    parse_properties,
)
from android_bench.phone.state import read_state
from tflite.child.program import Finished


def test_all_that_a_phone_is(phone):
    device = describe(phone)
    assert device.serial == phone.serial
    assert (device.manufacturer, device.model) == ("Nobody", "Fake 1")
    assert (device.soc, device.gpu) == (
        "Fakecomm FK8000",
        "Fakecomm, Fakeno (TM) 42, OpenGL ES 3.2 V@1",
    )
    assert (device.android, device.sdk) == ("14", 34)
    assert device.abis == ("arm64-v8a", "armeabi-v7a", "armeabi")
    assert device.memory_mib == 7680 and device.kernel == "Linux version 5.10.0-fake"
    assert device.describe_cores() == "4x1.80 + 3x2.40 + 1x2.80 GHz"
    assert set(device.thermal_zones.values()) == {"cpu-1-0-usr", "battery", "gpuss-0"}


def test_groups_of_cores(phone):
    device = describe(phone)
    assert device.cores_named("all") == tuple(range(8))
    assert device.cores_named("little") == (0, 1, 2, 3)
    assert device.cores_named("big") == (4, 5, 6, 7)
    assert device.cores_named("prime") == (7,)
    assert device.cores_named("4-6") == (4, 5, 6)
    assert mask_of((4, 5, 6, 7)) == "f0" and mask_of((0,)) == "1"
    for name, message in (("9", "no core 9"), ("huge", "all, big, little"), ("", "all, big")):
        with pytest.raises(ValueError, match=f"{message}.*Received: '{name}'"):
            device.cores_named(name)


def test_a_phone_whose_cores_are_alike(make_phone, server):
    from android_bench.phone.connection import Phone

    device = describe(Phone(server, make_phone(core_khz=(2_000_000,) * 4).serial))
    assert device.cores_named("all") == (0, 1, 2, 3)
    with pytest.raises(ValueError, match="no big cores, as they do not differ .*--cores=all"):
        device.cores_named("big")


def test_lists_of_numbers_and_properties():
    assert parse_numbers("0-3,6\n") == (0, 1, 2, 3, 6)
    text = "[a.b]: [1]\n[empty]: []\n[two.lines]: [x\ny]\n[bracket]: [a]b]\n"
    assert parse_properties(text) == {"a.b": "1", "two.lines": "x\ny", "bracket": "a]b"}


def test_state_of_a_phone(phone, fake):
    device = describe(phone)
    fake.heat(41.5)
    fake.battery_level = 55
    state = read_state(phone, device)
    # What the thermal service says now, not what it remembers.
    assert state.processor == 41.5 == state.temperature
    assert state.temperatures["skin"] == state.skin == 39.5
    assert state.battery == 41.5 and state.battery_level == 55 and state.powered is True
    assert (state.thermal_status, state.awake, state.power_save) == (0, False, False)
    assert state.limit_khz["7"] == 2_800_000 and state.governors == ["schedutil"]
    assert state.temperatures["gpuss-0"] == 41.5


def test_state_of_a_phone_that_tells_little(phone, fake):
    for path in fake.root.glob("sys/class/thermal/*/type"):
        path.unlink()
    device = describe(phone)
    assert set(device.thermal_zones.values()) == {""}
    state = read_state(phone, device)
    assert state.temperatures["thermal_zone0"] == 30.0


@pytest.mark.parametrize(
    "text", ["", "x", "0-", "-3", "0-99999999999", "\u00b2", "9" * 5000, "1024"]
)
def test_numbers_of_cores_that_no_phone_has(text):
    with pytest.raises(ValueError, match="^Cores are numbered .* Received: ") as error:
        parse_numbers(text)
    assert len(str(error.value)) < 200


def test_numbers_that_are_none():
    assert [
        integer(text) for text in ("7\n", " 12 ", "-1", "\u00b2", "", None, "9" * 16, "1_0")
    ] == [*(7, 12, None, None, None, None, None, None)]


class Answers:
    """A phone whose shell says one thing, whatever it is asked."""

    serial = "FAKE"

    def __init__(self, text):
        self.text = text

    def shell(self, arguments):
        return Finished(0, self.text, "")


@pytest.mark.parametrize(
    "text",
    [
        "/sys/devices/system/cpu/possible:0-99999999999",
        "/sys/devices/system/cpu/possible:x",
        "[ro.build.version.sdk]: [\u00b2]",
        f"/proc/meminfo:MemTotal: {'9' * 5000} kB",
        "Temperature{mValue=1.2.3, mType=0, mName=cpu}",
        "Temperature{mValue=--1, mType=99999999999999999999, mName=cpu}",
        f"Thermal Status: {'9' * 5000}",
        f"  level: {'9' * 5000}",
        "thermal_zone0\n/sys/class/thermal/thermal_zone0/temp:\u0663",
    ],
)
def test_answers_that_make_no_sense_are_not_known(text):
    phone = Answers(text)
    device = describe(phone)
    state = read_state(phone, device)
    assert (device.cores, device.sdk, device.memory_mib) == ((), None, None)
    assert (state.processor, state.thermal_status, state.battery_level) == (None, None, None)
