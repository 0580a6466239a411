"""A web server on this machine that answers as it is told, the wrong ways too."""

import contextlib
import dataclasses
import http.server
import threading
from collections.abc import Callable, Iterator, Mapping


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a path is answered.

    Attributes:
        body: What is sent.
        status: The code.
        headers: Besides `Content-Length`.
        length: The `Content-Length` that is said, by default the body's; 0 for none.
        pause: Called before each piece is sent, with the bytes sent so far.
        silent: Whether nothing is answered, not even headers, before `pause` returns.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    length: int | None = None
    pause: Callable[[int], object] = lambda sent: None
    silent: bool = False


@dataclasses.dataclass
class WebServer:
    """A server that runs.

    Attributes:
        url: Its address.
        answers: By path; it may be changed at any time.
        requests: The paths that were asked for.
        closing: Set when it ends; what `pause` may wait for.
    """

    url: str
    answers: dict[str, Answer]
    requests: list[str]
    closing: threading.Event


class _Handler(http.server.BaseHTTPRequestHandler):
    piece_bytes = 1 << 16

    def do_GET(self):
        self.server.requests.append(self.path)
        answer = self.server.answers.get(self.path, Answer(b"not here", 404))
        if answer.silent:
            answer.pause(0)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        length = len(answer.body) if answer.length is None else answer.length
        if length:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        # A client that has gone is what some tests are about.
        with contextlib.suppress(OSError):
            for start in range(0, len(answer.body), self.piece_bytes):
                answer.pause(start)
                self.wfile.write(answer.body[start : start + self.piece_bytes])

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serve(answers: Mapping[str, Answer]) -> Iterator[WebServer]:
    """Runs one on a free port of the loopback interface."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        running = WebServer(
            f"http://127.0.0.1:{server.server_port}", dict(answers), [], threading.Event()
        )
        server.answers, server.requests = running.answers, running.requests
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield running
        finally:
            running.closing.set()
            server.shutdown()
            thread.join(10)
