"""A phone for tests: adbd on loopback before a folder that plays its storage.

Everything a command sees is a file below that folder. Faults are attributes
that a test sets.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import struct
import threading
import time

from tests.android_bench import fake_phone_commands
from tests.android_bench.fake_adbd import FakeAdbd, Stream

FAST, SLOW, PRIME = 2_400_000, 1_800_000, 2_800_000


@dataclasses.dataclass
class Faults:
    """What goes wrong; all off."""

    unauthorized: bool = False
    not_executable: bool = False
    shell_delay_s: float = 0.0
    storage_bytes: int | None = None  # what all pushed files may have together
    drop_after_pushed_bytes: int | None = None
    drop_during_run: int | None = None  # number of the benchmark run
    run_exit_code: int | None = None
    hang_in_run: int | None = None
    back_after_s: float | None = None  # after a drop; `None`: never
    output: object = None  # function of what benchmark_model printed
    drop_during_loop: int | None = None  # number of the loop of runs timed one by one
    loop_output: object = None  # function of what such a loop printed
    throttle_after_runs: int | None = None
    without_flock: bool = False
    spoil_output: object = None  # function of the bytes that --output_filepath wrote
    profile_log: pathlib.Path | None = None
    help_output: object = None  # function of what --help printed
    help_exit_code: int | None = None


class FakePhone:
    """Starts at once; `stop` ends it.

    Args:
        folder: Empty folder for its storage.
        abi: What it runs.
        core_khz: Maximum frequency of each core.
        model: What it calls itself.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        abi: str = "arm64-v8a",
        core_khz: tuple[int, ...] = (SLOW,) * 4 + (FAST,) * 3 + (PRIME,),
        model: str = "Fake 1",
    ):
        self.root = folder
        self.abi, self.core_khz, self.model = abi, core_khz, model
        self.faults = Faults()
        self.violations: list[str] = []  # commands that were not quoted
        self.commands: list[list[str]] = []
        self.pushed: list[str] = []
        self.runs: list[list[str]] = []  # arguments of each benchmark run
        self.run_masks: list[int | None] = []
        self.run_environments: list[dict[str, str]] = []
        self.loops: list[list[str]] = []  # of runs timed one by one
        # Cools whenever its thermal service is asked: tests then do not depend on time.
        self.celsius, self.cooled_to, self.cooling_per_look = 30.0, 30.0, 0.0
        self.heat_per_run = 0.0
        self.battery_level = 80
        self.screen_on = False
        self.settings = {("global", "stay_on_while_plugged_in"): "0", ("global", "low_power"): "0"}
        self.processes: set = set()
        self._boots = 0
        self._make_files()
        self._adbd = FakeAdbd(self)
        self._adbd.start()

    @property
    def serial(self) -> str:
        return f"127.0.0.1:{self._adbd.port}"

    @property
    def unauthorized(self) -> bool:
        return self.faults.unauthorized

    @property
    def banner(self) -> bytes:
        return (
            f"device::ro.product.name=fake;ro.product.model={self.model};ro.product.device=fake;"
            "features=shell_v2,cmd,stat_v2"
        ).encode()

    def stop(self) -> None:
        """Ends it and what it runs."""
        self._adbd.drop()
        for process in list(self.processes):
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    def drop(self) -> None:
        """Pulls the cable; plugs it in again if `faults.back_after_s` says when."""
        self._adbd.drop()
        if self.faults.back_after_s is not None:
            timer = threading.Timer(self.faults.back_after_s, self._adbd.start)
            timer.daemon = True
            timer.start()

    def reboot(self) -> None:
        """A drop after which everything that ran has ended."""
        self._boots += 1
        self._write_boot_id()
        for process in list(self.processes):
            process.kill()
        self.drop()

    def path(self, path: str) -> pathlib.Path:
        """Where a file of the phone really is."""
        real = pathlib.Path(os.path.normpath(f"{self.root}/{path}"))
        assert real == self.root or self.root in real.parents, f"{path} is outside of the phone"
        return real

    def temperature(self) -> float:
        """Degrees Celsius now."""
        return max(self.cooled_to, self.celsius)

    def heat(self, celsius: float) -> None:
        self.celsius = celsius

    @property
    def throttled(self) -> bool:
        limit = self.faults.throttle_after_runs
        return limit is not None and len(self.runs) > limit

    def shell(self, command: str, stream: Stream) -> None:
        time.sleep(self.faults.shell_delay_s)
        self._refresh_files()
        words = split_quoted(command)
        if words is None:
            self.violations.append(command)
            stream.packet(2, b"sh: syntax error\n")
            stream.packet(3, b"\2")
            return
        self.commands.append(words)
        code = fake_phone_commands.run(self, words, stream)
        if not stream.closed.is_set():
            stream.packet(3, bytes([code & 0xFF]))

    def sync(self, stream: Stream) -> None:
        kind, size = struct.unpack("<4sI", stream.read(8))
        target = stream.read(size).decode()
        if kind == b"SEND":
            self._receive_file(stream, target.rpartition(",")[0], target.rpartition(",")[2])
        elif kind == b"RECV":
            self._send_file(stream, self.path(target))

    def _receive_file(self, stream, name, mode):
        content, failure = bytearray(), None
        while True:
            kind, size = struct.unpack("<4sI", stream.read(8))
            if kind == b"DONE":
                break
            content += stream.read(size)
            limit = self.faults.drop_after_pushed_bytes
            if limit is not None and len(content) >= limit:
                self.faults.drop_after_pushed_bytes = None
                self.drop()
                return
        space = self.faults.storage_bytes
        target = self.path(name)
        if not target.parent.is_dir():
            failure = b"couldn't create file: No such file or directory"
        elif space is not None and self._stored_bytes() + len(content) > space:
            failure = b"write failed: No space left on device"
        if failure:
            stream.write(b"FAIL" + struct.pack("<I", len(failure)) + failure)
            return
        target.write_bytes(content)
        target.chmod(int(mode, 8) if mode.startswith("0") else int(mode, 8) & 0o777)
        self.pushed.append(name)
        stream.write(b"OKAY" + struct.pack("<I", 0))

    def _send_file(self, stream, path):
        if not path.is_file():
            failure = b"open failed: No such file or directory"
            stream.write(b"FAIL" + struct.pack("<I", len(failure)) + failure)
            return
        content = path.read_bytes()
        for start in range(0, len(content), 65536):
            part = content[start : start + 65536]
            stream.write(b"DATA" + struct.pack("<I", len(part)) + part)
        stream.write(b"DONE" + struct.pack("<I", 0))

    def _stored_bytes(self):
        folder = self.path("/data/local/tmp")
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def _make_files(self):
        for folder in ("data/local/tmp", "proc/sys/kernel/random", "proc/self"):
            (self.root / folder).mkdir(parents=True)
        self._write_boot_id()
        (self.root / "proc/meminfo").write_text("MemTotal:        7864320 kB\nMemFree: 1 kB\n")
        (self.root / "proc/version").write_text("Linux version 5.10.0-fake\n")
        (self.root / "proc/uptime").write_text("4242.00 1.00\n")
        cpu = self.root / "sys/devices/system/cpu"
        cpu.mkdir(parents=True)
        (cpu / "possible").write_text(f"0-{len(self.core_khz) - 1}\n")
        for core, khz in enumerate(self.core_khz):
            folder = cpu / f"cpu{core}" / "cpufreq"
            folder.mkdir(parents=True)
            (folder / "cpuinfo_max_freq").write_text(f"{khz}\n")
            (folder / "scaling_governor").write_text("schedutil\n")
        for number, kind in enumerate(("cpu-1-0-usr", "battery", "gpuss-0")):
            folder = self.root / f"sys/class/thermal/thermal_zone{number}"
            folder.mkdir(parents=True)
            (folder / "type").write_text(kind + "\n")
        self._refresh_files()

    def _write_boot_id(self):
        path = self.root / "proc/sys/kernel/random/boot_id"
        path.write_text(f"00000000-0000-0000-0000-{self._boots:012}\n")

    def _refresh_files(self):
        """What changes by itself."""
        for core, khz in enumerate(self.core_khz):
            folder = self.root / f"sys/devices/system/cpu/cpu{core}/cpufreq"
            limit = int(khz * 0.6) if self.throttled else khz
            (folder / "scaling_max_freq").write_text(f"{limit}\n")
            (folder / "scaling_cur_freq").write_text(f"{min(limit, khz)}\n")
        for number in range(3):
            path = self.root / f"sys/class/thermal/thermal_zone{number}/temp"
            path.write_text(f"{int(self.temperature() * 1000)}\n")


_QUOTED = re.compile(r"""'([^']*)'|"'"|([\w@%+=:,./-]+)""", re.ASCII)


def split_quoted(command: str) -> list[str] | None:
    """Words of a command of nothing but words, as a shell sees them.

    `None` if a shell would do more than to take words apart: expand, redirect,
    run something else.
    """
    words, position, word = [], 0, None
    while position < len(command):
        if command[position] == " ":
            if word is not None:
                words.append(word)
            word, position = None, position + 1
            continue
        found = _QUOTED.match(command, position)
        if found is None:
            return None
        piece = "'" if found[0] == '"\'"' else found[1] if found[1] is not None else found[2]
        word = (word or "") + piece
        position = found.end()
    return words + ([word] if word is not None else [])
