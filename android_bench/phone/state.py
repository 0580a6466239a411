"""How a phone is just now: temperatures, battery, screen, frequencies."""

import dataclasses
import math
import re
import time

from android_bench.phone.connection import Phone
from android_bench.phone.device import Device, integer, read_files

_CPU = "/sys/devices/system/cpu"
# Types of thermal zones that stand for the processor, as the makers of SoCs name them.
_PROCESSOR = re.compile(r"cpu|soc|tsens|apc|mtktscpu|cluster|\bbig\b|\blittle\b|\bmid\b", re.I)
_TEMPERATURE = re.compile(
    r"Temperature\{mValue=(-?\d{1,9}(?:\.\d*)?), mType=(-?\d{1,9}), mName=([^,}]+)"
)
# Of android.hardware.thermal.TemperatureType.
_KINDS = {0: "cpu", 1: "gpu", 2: "battery", 3: "skin"}


@dataclasses.dataclass(frozen=True)
class State:
    """A moment of a phone; `None` is what it does not tell. Temperatures are in °C.

    Attributes:
        time: Unix time on this machine.
        temperatures: Each sensor by name.
        processor: The hottest sensor of the processor.
        skin: The hottest sensor of the skin.
        battery: The battery's.
        battery_level: Percent.
        powered: Whether a charger or USB port powers it.
        thermal_status: Android's: 0 none, 1 light, 2 moderate, 3 severe, ...
        awake: Whether the screen is on.
        power_save: Whether battery saver is on.
        current_khz: Frequency of each core.
        limit_khz: What each core may reach now; lower than its maximum when throttled.
        governors: CPU governors in use.
    """

    time: float
    temperatures: dict[str, float]
    processor: float | None
    skin: float | None
    battery: float | None
    battery_level: int | None
    powered: bool | None
    thermal_status: int | None
    awake: bool | None
    power_save: bool | None
    current_khz: dict[str, int]
    limit_khz: dict[str, int]
    governors: list[str]

    @property
    def temperature(self) -> float | None:
        """The processor's temperature, or the battery's where no other can be read."""
        return self.battery if self.processor is None else self.processor


def read_state(phone: Phone, device: Device) -> State:
    """Reads it.

    Raises:
        PhoneError: If the phone does not answer.
    """
    battery = _output(phone, ["dumpsys", "battery"])
    thermal = _output(phone, ["dumpsys", "thermalservice"])
    power = _output(phone, ["dumpsys", "power"])
    cores = [core.number for core in device.cores]
    names = ("scaling_cur_freq", "scaling_max_freq", "scaling_governor")
    zones = [f"/sys/class/thermal/{zone}/temp" for zone in device.thermal_zones]
    files = read_files(
        phone, [f"{_CPU}/cpu{core}/cpufreq/{name}" for core in cores for name in names] + zones
    )
    temperatures, kinds = _temperatures(thermal, files, device.thermal_zones)
    status = re.search(r"Thermal Status: (\d{1,9})\b", thermal)
    wakefulness = re.search(r"mWakefulness=(\w+)", power)
    saver = _output(phone, ["settings", "get", "global", "low_power"]).strip()
    battery_temperature = _field(battery, "temperature")
    frequencies = [
        {
            str(core): value
            for core in cores
            if (value := integer(files.get(f"{_CPU}/cpu{core}/cpufreq/{name}"))) is not None
        }
        for name in names[:2]
    ]
    governors = {files.get(f"{_CPU}/cpu{core}/cpufreq/{names[2]}", "").strip() for core in cores}
    return State(
        time=round(time.time(), 3),
        temperatures=temperatures,
        processor=_hottest(temperatures, kinds, "cpu"),
        skin=_hottest(temperatures, kinds, "skin"),
        battery=None if battery_temperature is None else battery_temperature / 10,
        battery_level=_field(battery, "level"),
        powered="powered: true" in battery if "powered:" in battery else None,
        thermal_status=int(status[1]) if status else None,
        awake=wakefulness[1] == "Awake" if wakefulness else None,
        power_save={"0": False, "1": True}.get(saver),
        current_khz=frequencies[0],
        limit_khz=frequencies[1],
        governors=sorted(governors - {""}),
    )


def _temperatures(thermal, files, zones):
    """Celsius and kind of each sensor: the thermal service's, else the kernel's zones."""
    # Cached values come first and may be old.
    current = thermal.partition("Current temperatures from HAL")[2].partition("Current cooling")[0]
    temperatures, kinds = {}, {}
    for value, kind, name in _TEMPERATURE.findall(current or thermal):
        if _plausible(float(value)):
            temperatures[name], kinds[name] = float(value), _KINDS.get(int(kind), "other")
    for zone, kind in zones.items():
        text = files.get(f"/sys/class/thermal/{zone}/temp", "").strip()
        if not re.fullmatch(r"-?[0-9]{1,15}", text):
            continue
        # Kernels give thousandths of a degree; some older ones tenths or whole degrees.
        value = float(text)
        celsius = value / 1000 if abs(value) >= 1000 else value / 10 if abs(value) > 150 else value
        if _plausible(celsius):
            name = kind or zone
            temperatures.setdefault(name, celsius)
            processor = _PROCESSOR.search(name) and "skin" not in name and "gpu" not in name
            kinds.setdefault(name, "cpu" if processor else "skin" if "skin" in name else "other")
    return temperatures, kinds


def _plausible(celsius):
    # Sensors that are off read 0, or far outside of what a phone survives.
    return math.isfinite(celsius) and celsius != 0 and -30 < celsius < 130


def _hottest(temperatures, kinds, kind):
    return max((temperatures[name] for name in kinds if kinds[name] == kind), default=None)


def _field(text, name):
    found = re.search(rf"^\s*{name}: (-?\d{{1,9}})$", text, re.MULTILINE)
    return int(found[1]) if found else None


def _output(phone, arguments):
    finished = phone.shell(arguments)
    return finished.stdout if finished.exit_code == 0 else ""
