"""What is missing for a benchmark, and how to mend it."""

import dataclasses
import pathlib
import uuid

from android_bench.phone.adb import AdbServer, check_state
from android_bench.phone.connection import Phone
from android_bench.phone.device import describe
from android_bench.phone.errors import LockedError, PhoneError
from android_bench.phone.lock import lock
from android_bench.phone.state import read_state
from android_bench.run.binary import check_abi, find_binary
from android_bench.run.identify import ask_on_phone
from android_bench.run.prepare import LOCK
from care_keras.console.optional import MissingDependencyError

WORK_PARENT = "/data/local/tmp"
_FREE_KIB = 200 * 1024


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        about: `"adb"`, or the serial number of a phone.
        what: What was looked at.
        level: `"ok"`, `"warning"` (figures may be worse for it) or `"missing"`.
        message: What was found, and for anything but ok how to mend it.
    """

    about: str
    what: str
    level: str
    message: str


def examine(
    port: int | None, binary: str | None, url: str | None, sha256: str | None
) -> list[Finding]:
    """Looks at adb, at every phone, and at benchmark_model.

    Args:
        port: Of the adb server, `None` for adb's own choice.
        binary: Path of benchmark_model, if given.
        url: Where to download it, if given.
        sha256: Its checksum, for `url`.
    """
    try:
        server = AdbServer(port)
        listed = server.phones()
    except (PhoneError, MissingDependencyError) as error:
        return [Finding("adb", "server", "missing", str(error))]
    findings = [Finding("adb", "server", "ok", f"answers on port {server.port}")]
    program = None
    try:
        program = find_binary(binary, url, sha256)
        findings.append(Finding("adb", "benchmark_model", "ok", str(program)))
    except PhoneError as error:
        findings.append(Finding("adb", "benchmark_model", "missing", str(error)))
    if not listed:
        findings.append(Finding("adb", "phones", "missing", _no_phone(server)))
    if len([phone for phone in listed if phone.state == "device"]) > 1:
        findings.append(
            Finding("adb", "phones", "ok", "several: choose with --device=SERIAL or --device=all")
        )
    for one in listed:
        try:
            check_state(one)
            findings += _examine_phone(Phone(server, one.serial), program)
        except PhoneError as error:
            findings.append(Finding(one.serial, "connection", "missing", str(error)))
    return findings


def _no_phone(server):
    try:
        server.choose(None)
    except PhoneError as error:
        return str(error)
    return "none is connected"


def _examine_phone(phone: Phone, program: pathlib.Path | None) -> list[Finding]:
    device = describe(phone)
    name = f"{device.manufacturer or ''} {device.model or ''}".strip()
    findings = [
        Finding(phone.serial, "connection", "ok", f"{name}, Android {device.android}"),
        _cores(device),
        _executable(phone),
        _space(phone),
        _tools(phone),
    ]
    if program is not None:
        try:
            abi = check_abi(program, device.abis)
            # Another run's figures would have it in them.
            with lock(phone, LOCK):
                asked = ask_on_phone(phone, program, device.abis)
            message = f"for {abi}, {asked.describe()}"
            findings.append(Finding(phone.serial, "benchmark_model", "ok", message))
        except LockedError as error:
            message = f"not tried: {error}"
            findings.append(Finding(phone.serial, "benchmark_model", "warning", message))
        except PhoneError as error:
            findings.append(Finding(phone.serial, "benchmark_model", "missing", str(error)))
    return findings + _condition(phone, device)


def _cores(device):
    if all(core.max_khz for core in device.cores) and device.cores:
        return Finding(device.serial, "cores", "ok", device.describe_cores())
    message = "their frequencies cannot be read: --cores=big and little cannot be used, all can"
    return Finding(device.serial, "cores", "warning", message)


def _executable(phone):
    """Whether a program can be run where they are pushed to: a script tells, for any ABI."""
    path = f"{WORK_PARENT}/care_keras_doctor_{uuid.uuid4().hex}"
    try:
        phone.push(b"#!/system/bin/sh\nexit 0\n", path, 0o755)
        finished = phone.shell([path])
        phone.shell(["rm", "-f", path])
    except PhoneError as error:
        message = f"{error}; free some storage or restart the phone"
        return Finding(phone.serial, WORK_PARENT, "missing", message)
    if finished.exit_code:
        message = (
            "programs cannot be run there (it is mounted noexec, or a policy forbids it): use a "
            "phone, or a user of it, without such a policy"
        )
        return Finding(phone.serial, WORK_PARENT, "missing", message)
    return Finding(phone.serial, WORK_PARENT, "ok", "writable, programs run")


def _space(phone):
    fields = phone.shell(["df", "-k", WORK_PARENT]).stdout.splitlines()[-1:]
    columns = fields[0].split() if fields else []
    if len(columns) < 4 or not columns[3].isdecimal():
        return Finding(phone.serial, "storage", "warning", "df does not tell the free space")
    free = int(columns[3])
    text = f"{free // 1024:,} MiB free"
    if free < _FREE_KIB:
        return Finding(phone.serial, "storage", "missing", text + ": delete something")
    return Finding(phone.serial, "storage", "ok", text)


def _tools(phone):
    path = f"{WORK_PARENT}/.care_keras_doctor"
    # Source of the release: AOSP's shell_and_utilities/README.md.
    commands = {
        "taskset": ["taskset", "1", "getprop", "sys.boot_completed"],
        "flock": ["sh", "-c", '{ flock -n 9; } 9>>"$1"', "sh", path],
        "sha256sum": ["sha256sum", path],
        "pkill": ["pkill", "-KILL", "-f", path],
    }
    missing = [name for name, words in commands.items() if phone.shell(words).exit_code == 127]
    phone.shell(["rm", "-f", path])
    if missing:
        message = f"no {', '.join(missing)}: Android 8 or newer has them"
        return Finding(phone.serial, "tools", "missing", message)
    return Finding(phone.serial, "tools", "ok", ", ".join(commands))


def _condition(phone, device):
    state = read_state(phone, device)
    findings = []
    if state.temperature is None:
        message = "cannot be read: runs cannot wait for it to cool"
        findings.append(Finding(phone.serial, "temperature", "warning", message))
    else:
        source = "battery" if state.processor is None else "processor"
        message = f"{source} {state.temperature:.1f} °C"
        findings.append(Finding(phone.serial, "temperature", "ok", message))
    if state.power_save:
        message = "battery saver is on and slows the phone: switch it off"
        findings.append(Finding(phone.serial, "power", "warning", message))
    elif state.battery_level is not None:
        level = "ok" if state.battery_level >= 30 else "warning"
        message = f"battery {state.battery_level} %" + ("" if level == "ok" else ": charge it")
        findings.append(Finding(phone.serial, "power", level, message))
    return findings
