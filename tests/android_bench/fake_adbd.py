"""The wire protocol of adbd on loopback: connect, shell v2, sync; what runs is the phone's.

Source: `protocol.txt`, `SYNC.TXT` and `shell_protocol.h` of AOSP's packages/modules/adb.
"""

import contextlib
import itertools
import queue
import socket
import struct
import threading

_VERSION, _LARGEST = 0x01000001, 256 * 1024
_TOKEN = 1


class FakeAdbd:
    """Listens on a free port; hands services to a phone.

    The phone has `banner`, `unauthorized`, `shell(command, stream)` and
    `sync(stream)`, which run in threads of their own.
    """

    def __init__(self, phone):
        self._phone = phone
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = None
        self.port = 0

    def start(self) -> None:
        """Listens; on the same port again after `drop`."""
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._listener.listen()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def drop(self) -> None:
        """The cable is pulled."""
        with self._lock:
            sockets, self._connections = [self._listener, *self._connections], set()
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._connections.add(connection)
            threading.Thread(target=_Connection(connection, self._phone).serve, daemon=True).start()


class _Connection:
    def __init__(self, connection, phone):
        self._socket = connection
        self._phone = phone
        self._streams: dict[int, Stream] = {}
        self._numbers = itertools.count(1)
        self._sending = threading.Lock()

    def serve(self):
        with contextlib.suppress(OSError, EOFError):
            while True:
                self._handle(*self._receive())
        for stream in list(self._streams.values()):
            stream.closed_by_peer()
        self._socket.close()

    def _receive(self):
        command, first, second, length, _, _ = struct.unpack("<4s5I", self._read(24))
        return command, first, second, self._read(length)

    def _handle(self, command, first, second, data):
        if command == b"CNXN":
            if self._phone.unauthorized:
                self.send(b"AUTH", _TOKEN, 0, bytes(20))
            else:
                self.send(b"CNXN", _VERSION, _LARGEST, self._phone.banner)
        elif command == b"AUTH":
            # A signature is never known; nobody accepts the public key either.
            if first == 2:
                self.send(b"AUTH", _TOKEN, 0, bytes(20))
        elif command == b"OPEN":
            stream = Stream(self, next(self._numbers), first)
            self._streams[stream.number] = stream
            service = data.rstrip(b"\0").decode()
            self.send(b"OKAY", stream.number, stream.peer)
            threading.Thread(target=self._serve_stream, args=(stream, service), daemon=True).start()
        elif second in self._streams:
            stream = self._streams[second]
            if command == b"WRTE":
                self.send(b"OKAY", stream.number, stream.peer)
                stream.received.put(data)
            elif command == b"OKAY":
                stream.ready.release()
            elif command == b"CLSE":
                del self._streams[second]
                stream.closed_by_peer()

    def _serve_stream(self, stream, service):
        name, _, argument = service.partition(":")
        with contextlib.suppress(OSError, EOFError):
            if name.split(",")[0] == "shell":
                self._phone.shell(argument, stream)
            elif name == "sync":
                self._phone.sync(stream)
            self.send(b"CLSE", stream.number, stream.peer)

    def send(self, command, first, second, data=b""):
        magic = struct.unpack("<I", command)[0] ^ 0xFFFFFFFF
        header = struct.pack("<4s5I", command, first, second, len(data), 0, magic)
        with self._sending:
            self._socket.sendall(header + data)

    def _read(self, size):
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data


class Stream:
    """One open service; `OSError` or `EOFError` once the other side has gone."""

    def __init__(self, connection, number, peer):
        self._connection = connection
        self.number = number
        self.peer = peer
        self.received: queue.Queue = queue.Queue()
        self.ready = threading.Semaphore(1)
        self.closed = threading.Event()
        self._rest = b""

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), _LARGEST):
            # Every piece waits until the one before it was taken.
            self.ready.acquire()
            if self.closed.is_set():
                raise EOFError
            self._connection.send(b"WRTE", self.number, self.peer, data[start : start + _LARGEST])

    def read(self, size: int) -> bytes:
        while len(self._rest) < size:
            part = self.received.get()
            if part is None:
                raise EOFError
            self._rest += part
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def packet(self, kind: int, data: bytes) -> None:
        """Writes shell v2: 1 is stdout, 2 stderr, 3 the exit code."""
        self.write(struct.pack("<BI", kind, len(data)) + data)

    def closed_by_peer(self):
        self.closed.set()
        self.received.put(None)
        self.ready.release()
