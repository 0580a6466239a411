"""One phone: running commands and moving files, over adbutils' connections.

Shell v2 and the sync protocol are spoken here, because what a command printed
before the phone was unplugged has to be kept, and a time limit has to hold for
the whole command. Source of both: adb's `SERVICES.TXT`, `SYNC.TXT` and
`shell_protocol.h` in AOSP's packages/modules/adb.
"""

import contextlib
import shlex
import time
from collections.abc import Iterator, Sequence

from android_bench.phone.adb import AdbServer, Listed, check_state
from android_bench.phone.deadline import EXIT, STDERR, STDOUT, read_packet, text_of
from android_bench.phone.errors import (
    CommandError,
    NoSpaceError,
    OfflineError,
    PhoneError,
    PhoneLostError,
    PhoneTimeoutError,
)
from android_bench.phone.files import PhoneFiles
from care_keras.console.optional import require
from tflite.child.program import Finished, last_line

# The length of a request to the adb server has four hexadecimal digits.
_LONGEST_COMMAND = 0xFFFF - 64
_SHELL_SECONDS = 30.0
# Of one command, a profile of every operator among them.
_MOST_OUTPUT = 1 << 26


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


class Phone(PhoneFiles):
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
            CommandError: If it prints on and on.
        """
        stdout, stderr = bytearray(), bytearray()
        outputs = {STDOUT: stdout, STDERR: stderr}

        def output():
            return Finished(0, text_of(stdout), text_of(stderr)).output

        name = arguments[0]
        deadline = time.monotonic() + timeout_seconds
        try:
            with self.open_shell(arguments, timeout_seconds) as connection:
                while True:
                    kind, data = read_packet(connection, deadline)
                    if kind == EXIT:
                        return Finished(data[0], text_of(stdout), text_of(stderr))
                    if kind in outputs:
                        outputs[kind] += data
                    if len(stdout) + len(stderr) > _MOST_OUTPUT:
                        raise CommandError(
                            f"{name} on {self.serial} prints more than {_MOST_OUTPUT >> 20} MiB"
                        )
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
        """Output of a program that must succeed.

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
        with self.transport(f"shell,v2,raw:{command}", timeout_seconds) as connection:
            yield connection

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
    def transport(self, service, timeout_seconds):
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
