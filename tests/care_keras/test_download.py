"""Downloads that go wrong in every way a server can think of."""

import hashlib
import os
import time

import pytest

from care_keras.download import DownloadError, Limits, check_address, download
from tests.web_server import Answer, serve

CONTENT = os.urandom(300_000)
LIMITS = Limits(max_bytes=1_000_000, stall_seconds=0.5, total_seconds=5)


@pytest.fixture
def get(server, tmp_path, monkeypatch):
    """Downloads what is answered and returns the file and its sum."""
    # Whatever other tests have imported: this process is no command.
    monkeypatch.delenv("CARE_KERAS_COMMAND", raising=False)

    def get(answer, limits=LIMITS):
        server.answers["/file"] = answer
        path = tmp_path / "file"
        return path, download(f"{server.url}/file", path, "downloading", limits)

    return get


@pytest.mark.parametrize("length", [None, 0], ids=["length said", "no length"])
def test_a_file_comes_whole_with_its_sum(get, length, capsys):
    path, sha256 = get(Answer(CONTENT, length=length))
    assert path.read_bytes() == CONTENT
    assert sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert capsys.readouterr() == ("", "")  # A library is silent where nobody looks.


def test_a_command_shows_progress(get, monkeypatch, capsys):
    monkeypatch.setenv("CARE_KERAS_COMMAND", "1")
    get(Answer(bytes(2_500_000)), Limits())
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[-1].startswith("downloading, MB 3/3")
    get(Answer(CONTENT, length=0))
    assert capsys.readouterr().err == "downloading\n"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(b"gone", 404), "the server answered 404 Not Found"),
        (Answer(b"", 503), "the server answered 503 Service Unavailable"),
        (Answer(CONTENT, length=400_000), "it ended after 300,000 of 400,000 bytes"),
        (Answer(CONTENT, length=2_000_000), "it has 2 MB, and 1 MB are the most that is taken"),
        (Answer(CONTENT * 9, length=0), "it goes on and on, and 1 MB are the most that is taken"),
        (
            Answer(status=302, headers={"Location": "https://example.invalid/file"}),
            "it was redirected from http to https",
        ),
        (
            Answer(status=302, headers={"Location": "http://example.invalid/file"}),
            "only https addresses are fetched, and http ones of this machine",
        ),
        (Answer(status=302, headers={"Location": "file:///etc/passwd"}), "the server answered 302"),
        (Answer(status=302, headers={"Location": "/file"}), "the server answered 302"),
        (
            Answer(b"5\r\nabc", length=0, headers={"Transfer-Encoding": "chunked"}),
            "it ended in the middle",
        ),
    ],
)
def test_what_goes_wrong_is_said_in_one_line(get, answer, reason):
    with pytest.raises(DownloadError) as error:
        get(answer)
    assert str(error.value).startswith(reason)
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


def wait_for_the_end(server, after):
    return lambda sent: server.closing.wait(20) if sent >= after else None


@pytest.mark.parametrize("after", [0, 100_000])
@pytest.mark.parametrize("silent", [False, True])
def test_a_server_that_stalls_is_given_up(get, server, silent, after):
    answer = Answer(CONTENT, pause=wait_for_the_end(server, 0 if silent else after), silent=silent)
    started = time.monotonic()
    with pytest.raises(DownloadError, match=r"^nothing came for 0\.5 s$"):
        get(answer)
    assert time.monotonic() - started < 3


def test_a_server_that_trickles_is_given_up(get):
    answer = Answer(bytes(100 << 16), pause=lambda sent: time.sleep(0.1))
    started = time.monotonic()
    with pytest.raises(DownloadError, match=r"^it was not through after 1 s$"):
        get(answer, Limits(stall_seconds=0.8, total_seconds=1))
    assert time.monotonic() - started < 4


def test_nobody_is_there(tmp_path):
    with serve({}) as gone:
        pass
    with pytest.raises(DownloadError, match=r"^Connection refused$"):
        download(f"{gone.url}/file", tmp_path / "file", "", LIMITS)


def test_a_redirect_is_followed(get, server):
    server.answers["/other"] = Answer(CONTENT)
    path, _ = get(Answer(status=302, headers={"Location": "/other"}))
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.com/a.pth", "http://127.0.0.1.example.com/a", "file:///etc/passwd"),
        *("ftp://example.com/a", "a.pth", "", "https://", "http://[::1", "http://10.0.0.1/a"),
    ],
)
def test_addresses_that_are_not_fetched(url):
    with pytest.raises(DownloadError):
        check_address(url)


@pytest.mark.parametrize(
    "url",
    ["https://example.com/a", "http://localhost:8/a", "http://[::1]:8/a", "http://127.0.0.2/a"],
)
def test_addresses_that_are(url):
    check_address(url)
