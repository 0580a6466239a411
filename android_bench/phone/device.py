"""What a phone is: model, SoC, Android, ABIs, cores, memory, GPU, thermal zones."""

import dataclasses
import re

from android_bench.phone.connection import Phone

_CPU = "/sys/devices/system/cpu"
_THERMAL = "/sys/class/thermal"
# Of a mask as taskset takes it; no phone comes near.
_MOST_CORES = 1024


@dataclasses.dataclass(frozen=True)
class Core:
    """A CPU core; `max_khz` is `None` where the phone does not tell."""

    number: int
    max_khz: int | None


@dataclasses.dataclass(frozen=True)
class Device:
    """A phone as plain JSON types; `None` is what it does not tell.

    Attributes:
        serial: Serial number in adb.
        manufacturer: Who made it.
        model: Name of the model.
        soc: Maker and name of the chip.
        android: Version of Android, `"14"`.
        sdk: API level.
        fingerprint: The build, exactly.
        kernel: First line of `/proc/version`.
        abis: ABIs, the preferred one first.
        cores: Its CPU cores.
        memory_mib: Memory.
        gpu: Vendor, name and driver of the GPU.
        thermal_zones: Type of each zone that can be read, by zone.
    """

    serial: str
    manufacturer: str | None
    model: str | None
    soc: str | None
    android: str | None
    sdk: int | None
    fingerprint: str | None
    kernel: str | None
    abis: tuple[str, ...]
    cores: tuple[Core, ...]
    memory_mib: int | None
    gpu: str | None
    thermal_zones: dict[str, str]

    @property
    def clusters(self) -> list[tuple[int | None, tuple[int, ...]]]:
        """`(maximum frequency in kHz, cores)`, the slowest first."""
        frequencies = sorted({core.max_khz for core in self.cores}, key=lambda khz: khz or 0)
        return [
            (khz, tuple(core.number for core in self.cores if core.max_khz == khz))
            for khz in frequencies
        ]

    def cores_named(self, name: str) -> tuple[int, ...]:
        """Numbers of the cores of a group.

        Args:
            name: `"all"`, `"little"` (the slowest cluster), `"big"` (all faster
                ones), `"prime"` (the fastest cluster), or numbers: `"4-6"`, `"0,7"`.

        Raises:
            ValueError: If the phone has no such cores.
        """
        numbers = tuple(core.number for core in self.cores)
        if name == "all":
            return numbers
        if name in ("little", "big", "prime"):
            clusters = self.clusters
            if len(clusters) < 2 or clusters[0][0] is None:
                raise ValueError(
                    f"The phone has no {name} cores, as they do not differ in maximum frequency or "
                    f"it does not tell: use --cores=all. Received: {self.serial}"
                )
            chosen = {"little": clusters[:1], "big": clusters[1:], "prime": clusters[-1:]}[name]
            return tuple(sorted(number for _, group in chosen for number in group))
        try:
            chosen = parse_numbers(name)
        except ValueError:
            raise ValueError(
                "Cores are all, big, little, prime, or numbers as in 4-6 or 0,7. "
                f"Received: {name!r}"
            ) from None
        unknown = set(chosen) - set(numbers)
        if unknown:
            raise ValueError(f"The phone has no core {min(unknown)}. Received: {name!r}")
        return chosen

    def describe_cores(self) -> str:
        """`"4x1.80 + 3x2.40 + 1x2.80 GHz"`."""
        if not self.cores:
            return "unknown"
        parts = [
            f"{len(numbers)}x" + ("?" if khz is None else f"{khz / 1e6:.2f}")
            for khz, numbers in self.clusters
        ]
        return " + ".join(parts) + " GHz"


def describe(phone: Phone) -> Device:
    """Asks a phone what it is.

    Raises:
        PhoneError: If it does not answer.
    """
    properties = parse_properties(phone.shell(["getprop"]).stdout)
    possible = read_files(phone, [f"{_CPU}/possible"]).get(f"{_CPU}/possible", "")
    try:
        numbers = parse_numbers(possible)
    except ValueError:
        numbers = ()
    files = [f"{_CPU}/cpu{number}/cpufreq/cpuinfo_max_freq" for number in numbers]
    frequencies = read_files(phone, files)
    zones = [
        name
        for name in phone.shell(["ls", _THERMAL]).stdout.split()
        if name.startswith("thermal_zone")
    ]
    types = read_files(phone, [f"{_THERMAL}/{zone}/type" for zone in zones])
    facts = read_files(phone, ["/proc/meminfo", "/proc/version"], "")
    memory = re.search(r"MemTotal:\s+(\d{1,15}) kB", facts.get("/proc/meminfo", ""))
    gpu = re.search(r"^\s*GLES: (.+)$", _surface_flinger(phone), re.MULTILINE)
    return Device(
        serial=phone.serial,
        manufacturer=properties.get("ro.product.manufacturer"),
        model=properties.get("ro.product.model"),
        soc=_soc(properties),
        android=properties.get("ro.build.version.release"),
        sdk=integer(properties.get("ro.build.version.sdk")),
        fingerprint=properties.get("ro.build.fingerprint"),
        kernel=facts.get("/proc/version", "").partition("\n")[0] or None,
        abis=tuple(filter(None, properties.get("ro.product.cpu.abilist", "").split(","))),
        cores=tuple(
            Core(number, integer(frequencies.get(path)))
            for number, path in zip(numbers, files, strict=True)
        ),
        memory_mib=int(memory[1]) // 1024 if memory else None,
        gpu=gpu[1].strip() if gpu else None,
        thermal_zones={zone: types.get(f"{_THERMAL}/{zone}/type", "").strip() for zone in zones},
    )


def read_files(phone: Phone, paths: list[str], pattern: str = "") -> dict[str, str]:
    """Lines of small files that hold a plain pattern, by path, in one command.

    Files that are missing or may not be read are left out.
    """
    if not paths:
        return {}
    contents: dict[str, list[str]] = {}
    # grep names the file of each line, and goes on after one that it cannot read.
    for line in phone.shell(["grep", "-sH", pattern, *paths]).stdout.splitlines():
        path, _, text = line.partition(":")
        contents.setdefault(path, []).append(text)
    return {path: "\n".join(lines) for path, lines in contents.items()}


def parse_properties(text: str) -> dict[str, str]:
    """Output of getprop; empty values are left out."""
    pairs = re.findall(r"^\[(.*?)\]: \[(.*?)\]\s*$", text, re.MULTILINE | re.DOTALL)
    return {name: value for name, value in pairs if value}


def parse_numbers(text: str) -> tuple[int, ...]:
    """`"0-3,6"` -> `(0, 1, 2, 3, 6)`.

    Raises:
        ValueError: If it is no such list, of cores that a phone can have.
    """
    numbers: set[int] = set()
    for part in text.strip().split(","):
        low, dash, high = part.partition("-")
        first = integer(low)
        last = integer(high) if dash else first
        if first is None or last is None or last >= _MOST_CORES:
            raise ValueError(f"Cores are numbered as in 4-6 or 0,7. Received: {text[:80]!r}")
        numbers.update(range(first, last + 1))
    return tuple(sorted(numbers))


def integer(text: str | None) -> int | None:
    """A number that a phone tells, if it is one: digits alone, of a length that figures have."""
    text = (text or "").strip()
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else None


def mask_of(cores: tuple[int, ...]) -> str:
    """Cores as the hexadecimal mask that taskset takes."""
    return f"{sum(1 << core for core in cores):x}"


def _soc(properties):
    # `ro.soc.*` came with Android 12.
    named = " ".join(
        filter(None, (properties.get("ro.soc.manufacturer"), properties.get("ro.soc.model")))
    )
    return named or properties.get("ro.board.platform") or properties.get("ro.hardware")


def _surface_flinger(phone):
    finished = phone.shell(["dumpsys", "SurfaceFlinger"])
    return finished.stdout if finished.exit_code == 0 else ""
