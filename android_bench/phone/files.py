"""Files of a phone, by adb's sync protocol."""

import contextlib
import hashlib
import pathlib
import struct
import time

from android_bench.phone.deadline import read_exactly, seconds_left, text_of
from android_bench.phone.errors import (
    CommandError,
    NoSpaceError,
    PhoneLostError,
    PhoneTimeoutError,
    TransferError,
)

_CHUNK = 64 * 1024
# Of what is read from a phone: outputs of a model, profiles.
_LARGEST = 1 << 28


class PhoneFiles:
    """Reads and writes files; a `Phone` is one."""

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
                    connection.settimeout(seconds_left(deadline))
                    connection.sendall(b"DATA" + struct.pack("<I", len(part)) + part)
                connection.sendall(b"DONE" + struct.pack("<I", int(time.time())))
            except (BrokenPipeError, ConnectionResetError):
                # A phone that refuses says so and closes; what it said can still be read.
                pass
            kind, size = struct.unpack("<4sI", read_exactly(connection, 8, deadline))
            if kind != b"OKAY":
                raise self._refused("write", path, read_exactly(connection, size, deadline))

    def pull(self, path: str, timeout_seconds: float = 120.0) -> bytes:
        """A file of the phone.

        Raises:
            TransferError: If there is none, it may not be read, or it is too large.
            PhoneLostError: If the connection breaks on the way.
        """
        deadline = time.monotonic() + timeout_seconds
        content = bytearray()
        with self._transfer("read", path, timeout_seconds) as connection:
            target = path.encode()
            connection.sendall(b"RECV" + struct.pack("<I", len(target)) + target)
            while True:
                kind, size = struct.unpack("<4sI", read_exactly(connection, 8, deadline))
                if kind == b"DONE":
                    return bytes(content)
                if len(content) + size > _LARGEST:
                    raise TransferError(
                        f"{path} on {self.serial} has more than {_LARGEST >> 20} MiB: not read"
                    )
                data = read_exactly(connection, size, deadline)
                if kind != b"DATA":
                    raise self._refused("read", path, data)
                content += data

    def sha256(self, path: str) -> str | None:
        """Checksum of a file on the phone, `None` if there is no such file."""
        finished = self.shell(["sha256sum", path], 60.0)
        if finished.exit_code == 127:
            raise CommandError(f"{self.serial} has no sha256sum: Android 8 or newer is needed")
        # The sum of a name with odd characters starts with a backslash.
        found = finished.stdout.split()[:1]
        return found[0].lstrip("\\") if found and not finished.exit_code else None

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

    @contextlib.contextmanager
    def _transfer(self, what, path, timeout_seconds):
        try:
            with self.transport("sync:", timeout_seconds) as connection:
                yield connection
        except TimeoutError:
            raise PhoneTimeoutError(
                f"{path} on {self.serial}: to {what} it took longer than {timeout_seconds:g} s"
            ) from None
        except (EOFError, OSError) as error:
            raise PhoneLostError(f"{self.serial} was lost on the way to {what} {path}") from error

    def _refused(self, what, path, message):
        text = text_of(message)
        kind = NoSpaceError if "No space left" in text else TransferError
        return kind(f"{self.serial} cannot {what} {path}: {text}")
