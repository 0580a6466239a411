"""A file from the web: over https, of bounded size, in bounded time."""

import contextlib
import dataclasses
import hashlib
import http.client
import ipaddress
import pathlib
import queue
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator

from care_keras.console.progress import progress, say
from care_keras.console.startup_messages import is_command
from care_keras.files import printable

_PIECE_BYTES = 1 << 16
_MB = 10**6
# Text of a server's that a message quotes, at most.
_QUOTED = 200


class DownloadError(Exception):
    """Why a file did not come, as the end of a sentence."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """When a download is given up.

    Attributes:
        max_bytes: Largest file.
        stall_seconds: How long nothing may come, from the first look for the server on.
        total_seconds: How long all of it may take.
    """

    max_bytes: int = 500 * _MB
    stall_seconds: float = 60
    total_seconds: float = 3600


def download(url: str, path: pathlib.Path, label: str, limits: Limits) -> str:
    """Writes what an address has to a file.

    Only https is followed, and http to this machine itself; a redirect keeps the scheme.
    Progress is shown on stderr in commands and in terminals.

    Args:
        url: The address.
        path: The file. It is not whole if an error is raised.
        label: What it is, for the progress.
        limits: When it is given up.

    Returns:
        The sha256 of the file.

    Raises:
        DownloadError: If it does not come, not whole, or goes beyond the limits.
        OSError: If it cannot be written.
    """
    check_address(url)
    sha256, received = hashlib.sha256(), 0
    pieces = _Transfer(url, limits).pieces()
    with contextlib.closing(pieces), open(path, "wb") as file:
        length = next(pieces)
        if length is not None and length > limits.max_bytes:
            raise DownloadError(f"it has {length / _MB:,.0f} MB, {_allowed(limits)}")
        show = _progress(label, length)
        for piece in pieces:
            received += len(piece)
            if received > limits.max_bytes:
                raise DownloadError(f"it goes on and on, {_allowed(limits)}")
            sha256.update(piece)
            file.write(piece)
            show(received)
    if length is not None and received != length:
        raise DownloadError(f"it ended after {received:,} of {length:,} bytes")
    return sha256.hexdigest()


def check_address(url: str) -> None:
    """Raises DownloadError unless the address may be fetched from: https, or http at home."""
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise DownloadError("that is no address") from error
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))):
        raise DownloadError("only https addresses are fetched, and http ones of this machine")


def without_secrets(url: str) -> str:
    """The address without a user, a password or a query, which may hold a token."""
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _is_here(host):
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _allowed(limits):
    return f"and {limits.max_bytes / _MB:,.0f} MB are the most that is taken"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect that leaves the scheme."""

    def redirect_request(self, request, fp, code, message, headers, newurl):
        scheme = urllib.parse.urlsplit(newurl).scheme
        try:
            if scheme != request.type:
                raise DownloadError(f"it was redirected from {request.type} to {_quoted(scheme)}")
            check_address(newurl)
        except DownloadError:
            fp.close()
            raise
        return super().redirect_request(request, fp, code, message, headers, newurl)


class _Transfer:
    """A file received in a thread of its own.

    No timeout of sockets bounds how long a name is looked up, or a server that sends its headers
    letter by letter.
    """

    def __init__(self, url: str, limits: Limits):
        self._url = url
        self._limits = limits
        self._received: queue.Queue = queue.Queue(maxsize=16)
        self._given_up = threading.Event()

    def pieces(self) -> Iterator:
        """The length of the file or `None`, then its bytes."""
        threading.Thread(target=self._receive, daemon=True).start()
        end = time.monotonic() + self._limits.total_seconds
        try:
            while (item := self._next(end)) != b"":
                if isinstance(item, Exception):
                    raise DownloadError(_reason(item, self._limits)) from item
                yield item
        finally:
            self._given_up.set()

    def _next(self, end):
        left = end - time.monotonic()
        try:
            return self._received.get(timeout=max(0.0, min(self._limits.stall_seconds, left)))
        except queue.Empty:
            if left < self._limits.stall_seconds:
                reason = f"it was not through after {self._limits.total_seconds:g} s"
            else:
                reason = _stalled(self._limits)
            raise DownloadError(reason) from None

    def _receive(self):
        try:
            with self._open() as response:
                length = response.headers.get("Content-Length", "")
                self._give(int(length) if length.isdecimal() else None)
                while not self._given_up.is_set():
                    piece = response.read1(_PIECE_BYTES)
                    self._give(piece)
                    if not piece:
                        return
        except Exception as error:  # Whatever it is, the other thread tells it.
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            self._give(error)

    def _open(self):
        handlers = [_Redirects()]
        if urllib.parse.urlsplit(self._url).scheme == "http":
            handlers.append(urllib.request.ProxyHandler({}))  # This machine is not behind a proxy.
        request = urllib.request.Request(self._url, headers={"User-Agent": "care_keras"})
        opener = urllib.request.build_opener(*handlers)
        return opener.open(request, timeout=self._limits.stall_seconds)

    def _give(self, item):
        while not self._given_up.is_set():
            with contextlib.suppress(queue.Full):
                self._received.put(item, timeout=0.5)
                return


def _reason(error, limits):
    """What went wrong, without the words of three libraries around it."""
    if isinstance(error, DownloadError):
        return str(error)
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {_quoted(error.reason)}"
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        error = error.reason
    if isinstance(error, TimeoutError):
        return _stalled(limits)
    if isinstance(error, http.client.IncompleteRead):
        return "it ended in the middle"
    if isinstance(error, http.client.HTTPException):
        return f"the server does not speak HTTP ({type(error).__name__})"
    return _quoted(getattr(error, "strerror", None) or error) or type(error).__name__


def _quoted(text):
    return printable(" ".join(str(text).split())[:_QUOTED])


def _stalled(limits):
    return f"nothing came for {limits.stall_seconds:g} s"


def _progress(label: str, length: int | None) -> Callable[[int], None]:
    """Takes the bytes received so far."""
    if not (is_command() or sys.stderr.isatty()):
        return lambda received: None
    if not length:
        say(label)
        return lambda received: None
    total = -(-length // _MB)
    steps = iter(progress(range(total), f"{label}, MB"))
    next(steps)  # It counts one as done when it is asked for the next.
    shown = 0

    def show(received):
        nonlocal shown
        done = total if received >= length else received // _MB
        while shown < done:
            next(steps, None)
            shown += 1

    return show
