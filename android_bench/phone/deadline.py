"""Reading from adb's sockets against a deadline for the whole of what is read."""

import socket
import struct
import time

STDOUT, STDERR, EXIT = 1, 2, 3
# A phone's own are of 1 MiB at most (MAX_PAYLOAD in adb.h).
_LARGEST_PACKET = 1 << 24


def read_packet(connection: socket.socket, deadline: float) -> tuple[int, bytes]:
    """A packet of shell v2: its kind (1 stdout, 2 stderr, 3 exit code) and content.

    Args:
        connection: What `Phone.open_shell` gives.
        deadline: Time by `time.monotonic` at which to give up.

    Raises:
        TimeoutError: If the deadline passes.
        EOFError: If the connection is closed, or what comes is no packet.
    """
    kind, size = struct.unpack("<BI", read_exactly(connection, 5, deadline))
    if size > _LARGEST_PACKET or (kind == EXIT and not size):
        raise EOFError(f"no packet of a shell: kind {kind}, {size} bytes")
    return kind, read_exactly(connection, size, deadline)


def read_exactly(connection: socket.socket, size: int, deadline: float) -> bytes:
    """So many bytes, no fewer; errors as those of `read_packet`."""
    data = bytearray()
    while len(data) < size:
        connection.settimeout(seconds_left(deadline))
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError("connection closed")
        data += part
    return bytes(data)


def seconds_left(deadline: float) -> float:
    """Time until a deadline by `time.monotonic`; `TimeoutError` if it has passed."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def text_of(data: bytes | bytearray) -> str:
    """What a phone printed, with line ends of one character."""
    return bytes(data).decode("utf-8", "replace").replace("\r\n", "\n")
