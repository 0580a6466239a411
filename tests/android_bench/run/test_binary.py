import hashlib
import pathlib
import sys

import pytest

from android_bench.phone.errors import BinaryError
from android_bench.run.binary import abi_of, check_abi, find_binary
from tests.android_bench.stand_in_benchmark_model import elf_bytes
from tests.processes import finish, full_disk, start
from tests.web_server import Answer, serve
from tflite.benchmark_tool.binary import BAZEL_OUTPUT


@pytest.fixture
def web():
    with serve({}) as running:
        yield running


@pytest.mark.parametrize("abi", ["arm64-v8a", "armeabi-v7a", "x86_64", "x86"])
def test_abi_from_the_header(abi, tmp_path):
    path = tmp_path / "benchmark_model"
    path.write_bytes(elf_bytes(abi))
    assert check_abi(path, ("x", abi)) == abi
    with pytest.raises(BinaryError, match=f"is for {abi}, the phone takes other: .* for other"):
        check_abi(path, ("other",))


def test_a_real_program_and_what_is_none():
    with open(sys.executable, "rb") as file:
        assert abi_of(file.read(64)) in ("x86_64", "arm64-v8a")
    for content in (b"", b"#!/bin/sh\necho", b"\x7fELF", b"\x7fELF" + bytes(60)):
        with pytest.raises(BinaryError, match="no program"):
            abi_of(content)


def test_where_it_is_found(tmp_path):
    with pytest.raises(BinaryError, match="no such file: --benchmark_binary=nowhere"):
        find_binary("nowhere")
    with pytest.raises(BinaryError, match="give its path with --benchmark_binary"):
        find_binary(None, workspace=tmp_path)
    built = tmp_path / BAZEL_OUTPUT
    built.parent.mkdir(parents=True)
    built.write_bytes(elf_bytes("arm64-v8a"))
    assert find_binary(None, workspace=tmp_path) == built
    assert find_binary(str(built)) == built


def test_a_download_must_have_the_checksum(tmp_path, web):
    content, cache = elf_bytes("arm64-v8a"), tmp_path / "cache"
    web.answers["/remote"] = Answer(content)
    url, digest = f"{web.url}/remote", hashlib.sha256(content).hexdigest()
    path = find_binary(None, url, digest, cache)
    assert path.read_bytes() == content
    del web.answers["/remote"]
    assert find_binary(None, url, digest.upper(), cache) == path  # From the cache.
    path.write_bytes(b"damaged")
    with pytest.raises(BinaryError, match="download of http:.* failed: the server answered 404"):
        find_binary(None, url, digest, cache)
    web.answers["/remote?token=secret"] = Answer(b"other")
    with pytest.raises(BinaryError, match="/remote has the SHA-256 .*it is another file"):
        find_binary(None, f"{url}?token=secret", digest, cache)
    assert path.read_bytes() == b"damaged" and len(list(cache.iterdir())) == 1
    for wrong in (None, "abc", "x" * 64):
        with pytest.raises(BinaryError, match="needs --benchmark_sha256"):
            find_binary(None, url, wrong, cache)
    for other in ("http://example.org/x", "http://127.0.0.1:x@example.org/x", "file:///etc/passwd"):
        with pytest.raises(BinaryError, match="failed: only https addresses are fetched"):
            find_binary(None, other, "0" * 64, cache)


FINDS = """
import sys
from android_bench.run.binary import find_binary
url, digest, cache = sys.argv[1:]
print(find_binary(None, url, digest, cache=__import__("pathlib").Path(cache)))
"""


@pytest.fixture
def remote(web):
    """A program of 300 kB: its URL and its checksum."""
    content = elf_bytes("arm64-v8a") + bytes(300_000)
    web.answers["/remote"] = Answer(content)
    return f"{web.url}/remote", hashlib.sha256(content).hexdigest()


def test_two_processes_download_one_program(remote, tmp_path):
    both = [start(FINDS, *remote, tmp_path / "cache") for _ in range(2)]
    (found,) = {finish(one).strip() for one in both}
    assert hashlib.sha256(pathlib.Path(found).read_bytes()).hexdigest() == remote[1]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [pathlib.Path(found).name]


def test_a_full_disk_is_one_line_and_leaves_nothing(remote, tmp_path):
    cache = tmp_path / "cache"
    with (
        full_disk(),
        pytest.raises(BinaryError, match="cache cannot be written to: File too large"),
    ):
        find_binary(None, *remote, cache)
    assert not list(cache.iterdir())
    assert find_binary(None, *remote, cache).is_file()
