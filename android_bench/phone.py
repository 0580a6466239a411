"""One phone: running commands and moving files, over adbutils' connections.

Shell v2 and the sync protocol are spoken here, because what a command printed
before the phone was unplugged has to be kept, and a time limit has to hold for
the whole command. Source of both: adb's `SERVICES.TXT`, `SYNC.TXT` and
`shell_protocol.h` in AOSP's packages/modules/adb.
"""

import contextlib
import hashlib
import pathlib
import shlex
import struct
import time
from collections.abc import Iterator, Sequence

from android_bench.adb import AdbServer, Listed, check_state
from android_bench.errors import (
    CommandError,
    NoSpaceError,
    OfflineError,
    PhoneError,
    PhoneLostError,
    PhoneTimeoutError,
    TransferError,
)
from care_keras.optional import require
from tflite.subprocesses import Finished, last_line

_STDOUT, _STDERR, _EXIT = 1, 2, 3
_CHUNK = 64 * 1024
# The length of a request to the adb server has four hexadecimal digits.
_LONGEST_COMMAND = 0xFFFF - 64
_SHELL_SECONDS = 30.0


def quote(arguments: Sequence[str]) -> str:
    """The one way a command for the phone's shell is written.

    Raises:
        ValueError: If there is nothing to run, or an argument holds a null
            character, which no program can be given.
    """
    arguments = [str(argument) for argument in arguments]
    if not arguments or any("\0" in argument for argument in arguments):
        raise ValueError(
            f"A command needs arguments without null characters. Received: {arguments!r}"
        )
    return shlex.join(arguments)


class Phone:
    """A phone of an adb server.

    Args:
        server: The server.
        serial: Its serial number.
    """

    def __init__(self, server: AdbServer, serial: str):
        self.server = server
        self.serial = serial
        self._device = server.client.device(serial=serial)

    def shell(self, arguments: Sequence[str], timeout_seconds: float = _SHELL_SECONDS) -> Finished:
        """Runs a program to its end.

        Args:
            arguments: Program and arguments; no shell looks at what is in them.
            timeout_seconds: Time after which the connection is cut, which ends it.

        Raises:
            PhoneLostError: If the connection breaks; holds the output so far.
            PhoneTimeoutError: If it takes too long; holds the output so far.
        """
        stdout, stderr = bytearray(), bytearray()
        outputs = {_STDOUT: stdout, _STDERR: stderr}

        def output():
            return Finished(0, _text(stdout), _text(stderr)).output

        name = arguments[0]
        deadline = time.monotonic() + timeout_seconds
        try:
            with self.open_shell(arguments, timeout_seconds) as connection:
                while True:
                    kind, data = _read_packet(connection, deadline)
                    if kind == _EXIT:
                        return Finished(data[0], _text(stdout), _text(stderr))
                    if kind in outputs:
                        outputs[kind] += data
        except TimeoutError:
            raise PhoneTimeoutError(
                f"{name} on {self.serial} was stopped after {timeout_seconds:g} s "
                f"(last line {last_line(output())!r})",
                output(),
            ) from None
        except (EOFError, OSError) as error:
            raise PhoneLostError(
                f"{self.serial} was lost while {name} ran (last line {last_line(output())!r})",
                output(),
            ) from error

    def check(self, arguments: Sequence[str], timeout_seconds: float = _SHELL_SECONDS) -> str:
        """stdout of a program that must succeed.

        Raises:
            CommandError: If it does not.
        """
        finished = self.shell(arguments, timeout_seconds)
        if finished.exit_code:
            reason = last_line(finished.stderr or finished.stdout)
            if "No space left" in reason:
                raise NoSpaceError(f"the storage of {self.serial} is full ({reason})")
            raise CommandError(f"{arguments[0]} on {self.serial} {finished.ending}: {reason}")
        return finished.stdout

    @contextlib.contextmanager
    def open_shell(self, arguments: Sequence[str], timeout_seconds: float) -> Iterator:
        """A socket that speaks shell v2 with a running program; closing it ends the program."""
        command = quote(arguments)
        if len(command.encode()) > _LONGEST_COMMAND:
            raise ValueError(
                f"The command is longer than adb takes. Received: {len(command)} characters"
            )
        with self._transport(f"shell,v2,raw:{command}", timeout_seconds) as connection:
            yield connection

    def push(
        self,
        content: bytes | pathlib.Path,
        path: str,
        mode: int = 0o644,
        timeout_seconds: float = 600.0,
    ) -> None:
        """Writes a file on the phone.

        Raises:
            NoSpaceError: If the phone is full.
            TransferError: If the phone refuses.
            PhoneLostError: If the connection breaks on the way.
        """
        data = content if isinstance(content, bytes) else content.read_bytes()
        deadline = time.monotonic() + timeout_seconds
        with self._transfer("write", path, timeout_seconds) as connection:
            target = f"{path},{mode:o}".encode()
            connection.sendall(b"SEND" + struct.pack("<I", len(target)) + target)
            try:
                for start in range(0, len(data), _CHUNK):
                    part = data[start : start + _CHUNK]
                    connection.settimeout(_left(deadline))
                    connection.sendall(b"DATA" + struct.pack("<I", len(part)) + part)
                connection.sendall(b"DONE" + struct.pack("<I", int(time.time())))
            except (BrokenPipeError, ConnectionResetError):
                # A phone that refuses says so and closes; what it said can still be read.
                pass
            kind, size = struct.unpack("<4sI", _read(connection, 8, deadline))
            if kind != b"OKAY":
                raise self._refused("write", path, _read(connection, size, deadline))

    def pull(self, path: str, timeout_seconds: float = 120.0) -> bytes:
        """A file of the phone.

        Raises:
            TransferError: If there is none, or it may not be read.
            PhoneLostError: If the connection breaks on the way.
        """
        deadline = time.monotonic() + timeout_seconds
        content = bytearray()
        with self._transfer("read", path, timeout_seconds) as connection:
            target = path.encode()
            connection.sendall(b"RECV" + struct.pack("<I", len(target)) + target)
            while True:
                kind, size = struct.unpack("<4sI", _read(connection, 8, deadline))
                if kind == b"DONE":
                    return bytes(content)
                data = _read(connection, size, deadline)
                if kind != b"DATA":
                    raise self._refused("read", path, data)
                content += data

    def sha256(self, path: str) -> str | None:
        """Checksum of a file on the phone, `None` if there is no such file."""
        finished = self.shell(["sha256sum", path], 60.0)
        if finished.exit_code == 127:
            raise CommandError(f"{self.serial} has no sha256sum: Android 6 or newer is needed")
        # The sum of a name with odd characters starts with a backslash.
        return finished.stdout.split()[0].lstrip("\\") if not finished.exit_code else None

    def push_if_different(
        self, content: bytes | pathlib.Path, path: str, mode: int = 0o644
    ) -> bool:
        """Writes a file unless the phone has it, and checks that it arrived whole.

        Returns:
            Whether it was written.

        Raises:
            TransferError: If what arrived is not what was sent.
        """
        data = content if isinstance(content, bytes) else content.read_bytes()
        wanted = hashlib.sha256(data).hexdigest()
        if self.sha256(path) == wanted:
            return False
        self.push(data, path, mode)
        if self.sha256(path) != wanted:
            raise TransferError(f"{path} on {self.serial} is damaged after it was written")
        return True

    def wait_until_back(self, timeout_seconds: float, sleep=time.sleep) -> None:
        """Waits until a phone that was lost answers again.

        Raises:
            PhoneError: What it still is when time is over.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                if ":" in self.serial and not any(
                    listed == Listed(self.serial, "device") for listed in self.server.phones()
                ):
                    self.server.connect(self.serial)
                if self.shell(["getprop", "sys.boot_completed"], 10.0).stdout.strip() == "1":
                    return
                raise OfflineError(f"{self.serial} is starting and not ready yet")
            except PhoneError:
                if time.monotonic() > deadline:
                    raise
            sleep(0.5)

    @contextlib.contextmanager
    def _transport(self, service, timeout_seconds):
        """A socket to a service of the phone."""
        errors = require("adbutils.errors", "android")
        try:
            connection = self._device.open_transport(timeout=timeout_seconds)
        except (errors.AdbError, OSError) as error:
            raise self._unavailable(error) from error
        try:
            try:
                connection.send_command(service)
                connection.check_okay()
            except (errors.AdbError, OSError) as error:
                raise self._unavailable(error) from error
            yield connection.conn
        finally:
            connection.close()

    @contextlib.contextmanager
    def _transfer(self, what, path, timeout_seconds):
        try:
            with self._transport("sync:", timeout_seconds) as connection:
                yield connection
        except TimeoutError:
            raise PhoneTimeoutError(
                f"{path} on {self.serial}: to {what} it took longer than {timeout_seconds:g} s"
            ) from None
        except (EOFError, OSError) as error:
            raise PhoneLostError(f"{self.serial} was lost on the way to {what} {path}") from error

    def _refused(self, what, path, message):
        text = _text(message)
        kind = NoSpaceError if "No space left" in text else TransferError
        return kind(f"{self.serial} cannot {what} {path}: {text}")

    def _unavailable(self, error):
        """Why no connection came about, from the server's list if that tells."""
        try:
            listed = self.server.phones()
            found = next((one for one in listed if one.serial == self.serial), None)
            if found is not None:
                check_state(found)
        except PhoneError as known:
            return known
        return PhoneLostError(f"{self.serial} is not connected any more ({error})")


def _read_packet(connection, deadline):
    kind, size = struct.unpack("<BI", _read(connection, 5, deadline))
    return kind, _read(connection, size, deadline)


def _read(connection, size, deadline):
    data = bytearray()
    while len(data) < size:
        connection.settimeout(_left(deadline))
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError("connection closed")
        data += part
    return bytes(data)


def _left(deadline):
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _text(data):
    return bytes(data).decode("utf-8", "replace").replace("\r\n", "\n")
