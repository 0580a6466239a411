import hashlib
import socket
import subprocess
import time

import pytest

from android_bench.phone import errors
from android_bench.phone.adb import AdbServer, Listed, check_state
from android_bench.phone.connection import Phone, quote
from android_bench.phone.deadline import read_packet
from tests.android_bench.conftest import free_port
from tests.android_bench.fake_phone import split_quoted

NASTY = ["a b", "it's", 'say "x"', "a;reboot", "$(id)", "`id`", "a\nb", "*", "ä 名", "", "-n", "#"]


def test_a_shell_gives_back_what_was_quoted():
    command = quote(["printf", "%s\\0", *NASTY])
    finished = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True)
    assert finished.stdout.split("\0")[:-1] == NASTY
    assert split_quoted(command) == ["printf", "%s\\0", *NASTY]


@pytest.mark.parametrize("command", ["ls;id", "ls a$b", "ls > x", "ls *", "ls 'a", "ls a\nb"])
def test_the_fake_phone_notices_what_is_not_quoted(command):
    assert split_quoted(command) is None


def test_what_no_program_can_be_given():
    for arguments in ([], ["ls", "a\0b"]):
        with pytest.raises(ValueError, match="without null characters. Received: "):
            quote(arguments)


def test_a_command_and_its_exit_code(phone):
    finished = phone.shell(["ls", "/nowhere"])
    assert (finished.exit_code, finished.stdout) == (1, "")
    assert "No such file" in finished.stderr
    assert phone.check(["getprop", "ro.product.model"]) == "Fake 1\n"
    with pytest.raises(errors.CommandError, match="ls on .* ended with exit code 1: ls: /nowhere"):
        phone.check(["ls", "/nowhere"])


@pytest.mark.parametrize("name", NASTY[:5] + NASTY[8:9])
def test_files_of_any_name(phone, fake, name):
    path = f"/data/local/tmp/{name}"
    content = bytes(range(256)) * 3000
    phone.push(content, path, 0o755)
    assert fake.path(path).read_bytes() == content
    assert fake.path(path).stat().st_mode & 0o777 == 0o755
    assert phone.pull(path) == content
    assert phone.sha256(path) == hashlib.sha256(content).hexdigest()


def test_only_what_differs_is_pushed(phone, fake, tmp_path):
    file = tmp_path / "model"
    file.write_bytes(b"one")
    assert phone.push_if_different(file, "/data/local/tmp/m") is True
    assert phone.push_if_different(file, "/data/local/tmp/m") is False
    file.write_bytes(b"two")
    assert phone.push_if_different(file, "/data/local/tmp/m") is True
    assert fake.pushed == ["/data/local/tmp/m"] * 2


def test_files_that_cannot_be_moved(phone, fake):
    with pytest.raises(errors.TransferError, match="cannot read /nowhere: .*No such file"):
        phone.pull("/nowhere")
    with pytest.raises(errors.TransferError, match="cannot write /no/where"):
        phone.push(b"", "/no/where")
    fake.faults.storage_bytes = 100_000
    with pytest.raises(errors.NoSpaceError, match="No space left"):
        phone.push(bytes(200_000), "/data/local/tmp/big")
    assert phone.sha256("/data/local/tmp/big") is None


def test_a_phone_that_is_unplugged_in_a_push_and_comes_back(phone, fake):
    fake.faults.drop_after_pushed_bytes = 300_000
    fake.faults.back_after_s = 0.3
    with pytest.raises(errors.PhoneLostError, match="was lost on the way to write"):
        phone.push(bytes(2_000_000), "/data/local/tmp/big")
    with pytest.raises(errors.PhoneError):
        phone.shell(["getprop"])
    phone.wait_until_back(20)
    assert phone.check(["getprop", "ro.product.model"]) == "Fake 1\n"


def test_a_slow_shell_is_given_up(phone, fake):
    fake.faults.shell_delay_s = 3.0
    with pytest.raises(errors.PhoneTimeoutError, match="getprop on .* was stopped after 0.3 s"):
        phone.shell(["getprop"], timeout_seconds=0.3)


@pytest.mark.parametrize("packet", [b"\x03\0\0\0\0", b"\x01\xff\xff\xff\xff"])
def test_what_is_no_packet(packet):
    """An end without a code, and more than any phone sends at once."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(packet)
        with pytest.raises(EOFError, match="no packet of a shell"):
            read_packet(ours, time.monotonic() + 5)


def test_a_phone_that_prints_or_gives_on_and_on(phone, fake, monkeypatch):
    monkeypatch.setattr("android_bench.phone.connection._MOST_OUTPUT", 10)
    with pytest.raises(errors.CommandError, match="echo on .* prints more than"):
        phone.shell(["echo", "word " * 10])
    phone.push(bytes(100), "/data/local/tmp/file")
    monkeypatch.setattr("android_bench.phone.files._LARGEST", 99)
    with pytest.raises(errors.TransferError, match="/data/local/tmp/file on .*: not read"):
        phone.pull("/data/local/tmp/file")


def test_choosing_a_phone(server, make_phone, monkeypatch):
    with pytest.raises(errors.NoPhoneError, match="USB debugging"):
        server.choose(None)
    with pytest.raises(errors.NoPhoneError):
        server.choose("all")
    first = make_phone()
    assert server.choose(None) == [first.serial] == server.choose("all")
    second = make_phone()
    with pytest.raises(errors.SeveralPhonesError, match="--device=SERIAL"):
        server.choose(None)
    assert sorted(server.choose("all")) == sorted([first.serial, second.serial])
    assert server.choose(second.serial) == [second.serial]
    with pytest.raises(errors.NoPhoneError, match="'other' is connected"):
        server.choose("other")
    monkeypatch.setenv("ANDROID_SERIAL", second.serial)
    assert server.choose(None) == [second.serial]


def test_a_phone_that_has_not_allowed_it(server, make_phone):
    fake = make_phone(connect=False)
    fake.faults.unauthorized = True
    server.connect(fake.serial)
    with pytest.raises(errors.UnauthorizedError, match="Allow USB debugging"):
        server.choose(None)
    with pytest.raises(errors.UnauthorizedError):
        Phone(server, fake.serial).shell(["getprop"])


@pytest.mark.parametrize(
    ("state", "error", "words"),
    [
        ("offline", errors.OfflineError, "does not answer .* plug it in again"),
        ("recovery", errors.OfflineError, "adb says 'recovery'"),
        ("authorizing", errors.UnauthorizedError, "Allow USB debugging"),
        ("no permissions (udev)", errors.UnauthorizedError, "add a udev rule"),
    ],
)
def test_a_phone_in_another_state(state, error, words):
    with pytest.raises(error, match=words):
        check_state(Listed("FAKE0001", state))
    check_state(Listed("FAKE0001", "device"))


def test_no_server_can_be_started(monkeypatch, tmp_path):
    monkeypatch.setenv("ADBUTILS_ADB_PATH", str(tmp_path / "adb"))
    with pytest.raises(errors.AdbServerError, match="does not start on port"):
        AdbServer(free_port())
