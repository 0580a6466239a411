"""The benchmark_model to run: found or downloaded, and checked against the phone's ABI."""

import hashlib
import pathlib
import struct

from android_bench.phone.errors import BinaryError
from care_keras.download import DownloadError, Limits, download, without_secrets
from care_keras.files import atomic_path, user_cache
from tflite.benchmark_tool.binary import BAZEL_OUTPUT

# e_machine and whether the file is 64-bit. Source: elf.h of Linux; Android's NDK names the ABIs.
_ABIS = {
    (183, True): "arm64-v8a",
    (40, False): "armeabi-v7a",
    (62, True): "x86_64",
    (3, False): "x86",
    (243, True): "riscv64",
}
_LIMITS = Limits(max_bytes=200_000_000)
_HEADER_BYTES = 64


def abi_of(content: bytes) -> str:
    """The ABI of a program, from its ELF header.

    Raises:
        BinaryError: If it is no program for Linux or Android.
    """
    if content[:4] != b"\x7fELF" or len(content) < 20:
        raise BinaryError(
            "benchmark_model is no program for a phone: it has no ELF header "
            f"(it starts with {content[:8]!r})"
        )
    wide = content[4] == 2
    kind, machine = struct.unpack(">HH" if content[5] == 2 else "<HH", content[16:20])
    if kind not in (2, 3):
        raise BinaryError(f"benchmark_model is no program: ELF type {kind}")
    return _ABIS.get((machine, wide), f"ELF machine {machine}")


def check_abi(path: pathlib.Path, abis: tuple[str, ...]) -> str:
    """ABI of a program that a phone can run.

    Raises:
        BinaryError: If the phone cannot.
    """
    try:
        with open(path, "rb") as file:
            abi = abi_of(file.read(_HEADER_BYTES))
    except OSError as error:
        raise BinaryError(f"{path} cannot be read: {error.strerror or error}") from error
    if abi not in abis:
        raise BinaryError(
            f"{path} is for {abi}, the phone takes {', '.join(abis) or 'nothing it tells'}: "
            f"build or download it for {abis[0] if abis else 'its ABI'}"
        )
    return abi


def find_binary(
    given: str | None,
    url: str | None = None,
    sha256: str | None = None,
    cache: pathlib.Path | None = None,
    workspace: pathlib.Path = pathlib.Path(),
) -> pathlib.Path:
    """The program to push.

    Args:
        given: Path of it, or `None`.
        url: Where to download it, if `given` is `None`.
        sha256: Checksum that the download must have.
        cache: Folder for downloads; the user's cache if `None`.
        workspace: Folder in which Bazel built it, if neither is given.

    Raises:
        BinaryError: If there is none, or the download is another file.
    """
    if given:
        path = pathlib.Path(given)
        if not path.is_file():
            raise BinaryError(f"there is no such file: --benchmark_binary={given}")
        return path
    if url:
        return _download(url, sha256, cache or user_cache())
    if (workspace / BAZEL_OUTPUT).is_file():
        return workspace / BAZEL_OUTPUT
    raise BinaryError(
        "there is no benchmark_model: give its path with --benchmark_binary, or "
        "--benchmark_url and --benchmark_sha256, or build it with Bazel; android_bench/README.md "
        "says where it is published"
    )


def _download(url, sha256, cache):
    if not sha256 or len(sha256) != 64 or not set(sha256.lower()) <= set("0123456789abcdef"):
        raise BinaryError(
            "--benchmark_url needs --benchmark_sha256, the SHA-256 of the file in 64 hexadecimal "
            "digits"
        )
    path = cache / f"benchmark_model-{sha256.lower()}"
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256.lower():
        return path
    address = without_secrets(url)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            found = download(url, temporary, "downloading benchmark_model", _LIMITS)
            if found != sha256.lower():
                raise BinaryError(
                    f"{address} has the SHA-256 {found}, not {sha256}: it is another file"
                )
    except DownloadError as error:
        raise BinaryError(f"the download of {address} failed: {error}") from error
    except OSError as error:
        raise BinaryError(f"{cache} cannot be written to: {error.strerror or error}") from error
    return path
