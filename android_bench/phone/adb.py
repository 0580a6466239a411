"""The adb server: starting it, and the phones it knows.

adbutils speaks to the server; it brings an adb program for machines without one.
"""

import dataclasses
import os
import socket
import subprocess

from android_bench.phone.errors import (
    AdbServerError,
    NoPhoneError,
    OfflineError,
    SeveralPhonesError,
    UnauthorizedError,
)
from care_keras.console.optional import require

DEFAULT_PORT = 5037
_START_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class Listed:
    """A phone in the server's list.

    Attributes:
        serial: Serial number, or `host:port`.
        state: `"device"` if it can be used, `"unauthorized"`, `"offline"`, ...
    """

    serial: str
    state: str


def default_port() -> int:
    """The port that adb itself would take."""
    text = os.environ.get("ANDROID_ADB_SERVER_PORT", "")
    return int(text) if text.isdecimal() else DEFAULT_PORT


class AdbServer:
    """A running adb server; started if there is none on its port.

    Args:
        port: Port on this machine, `None` for adb's own choice.

    Raises:
        MissingDependencyError: If adbutils is not installed.
        AdbServerError: If there is no adb program, or no server comes up.
    """

    def __init__(self, port: int | None = None):
        adbutils = require("adbutils", "android")
        self.port = default_port() if port is None else port
        # adbutils would start a missing server itself, but on the default port.
        if not _listens(self.port):
            _start(adbutils, self.port)
        self.client = adbutils.AdbClient(host="127.0.0.1", port=self.port, socket_timeout=20)

    def phones(self) -> list[Listed]:
        """All phones, whatever their state."""
        with _server_errors(self.port):
            return [Listed(info.serial, info.state) for info in self.client.list()]

    def connect(self, address: str) -> None:
        """Makes the server connect to `host:port`; whether it did, `phones` tells."""
        with _server_errors(self.port):
            self.client.connect(address, timeout=15)

    def choose(self, serial: str | None) -> list[str]:
        """Serial numbers of the phones to use.

        Args:
            serial: A serial number, `"all"`, or `None` for the one that
                `ANDROID_SERIAL` names, or the only one there is.

        Raises:
            PhoneError: Of the kind that fits: none, several, unauthorized, offline.
        """
        listed = self.phones()
        serial = serial or os.environ.get("ANDROID_SERIAL") or None
        if serial == "all":
            usable = [phone.serial for phone in listed if phone.state == "device"]
            if not usable and listed:
                check_state(listed[0])
            if not usable:
                raise NoPhoneError(_NO_PHONE)
            return usable
        if serial is None:
            if not listed:
                raise NoPhoneError(_NO_PHONE)
            usable = [phone for phone in listed if phone.state == "device"] or listed
            if len(usable) > 1:
                names = ", ".join(phone.serial for phone in usable)
                raise SeveralPhonesError(
                    f"several phones are connected: choose with --device=SERIAL or --device=all. "
                    f"Received: {names}"
                )
            check_state(usable[0])
            return [usable[0].serial]
        found = next((phone for phone in listed if phone.serial == serial), None)
        if found is None:
            names = ", ".join(phone.serial for phone in listed) or "none"
            raise NoPhoneError(f"no phone {serial!r} is connected. Received: {names}")
        check_state(found)
        return [serial]


_NO_PHONE = (
    "no phone is connected: plug one in, switch USB debugging on in its developer options, and "
    "look with python -m android_bench doctor"
)


def check_state(phone: Listed) -> None:
    """Raises what fits if a phone cannot be used."""
    if phone.state == "device":
        return
    if phone.state in ("unauthorized", "authorizing"):
        raise UnauthorizedError(
            f"{phone.serial} has not allowed this computer: unlock it and accept the question "
            "'Allow USB debugging?'"
        )
    if phone.state.startswith("no permissions"):
        raise UnauthorizedError(
            f"{phone.serial}: this user may not use its USB port: add a udev rule for the phone"
        )
    raise OfflineError(
        f"{phone.serial} does not answer (adb says {phone.state!r}): plug it in again, or "
        "restart it"
    )


class _server_errors:
    """Turns adbutils' errors about the server into ours."""

    def __init__(self, port):
        self._port = port

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        adbutils = require("adbutils", "android")
        if isinstance(error, adbutils.AdbError | OSError):
            raise AdbServerError(
                f"the adb server on port {self._port} does not answer as it should: {error}"
            ) from error


def _listens(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            return True
    except OSError:
        return False


def _start(adbutils, port):
    try:
        program = adbutils.adb_path()
        finished = subprocess.run(
            [program, "-P", str(port), "start-server"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_START_SECONDS,
        )
    except adbutils.AdbError as error:
        raise AdbServerError(
            f"there is no adb program ({error}): install Android's platform-tools"
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AdbServerError(f"the adb server does not start on port {port}: {error}") from error
    if finished.returncode or not _listens(port):
        raise AdbServerError(
            f"the adb server does not start on port {port}: {program} start-server ended with "
            f"exit code {finished.returncode}"
        )
