"""Packages of this Debian or Ubuntu for any architecture, without root and without installing.

apt reads the system's sources and keys, and checks what it downloads against
the signed index; its own state is a folder that is thrown away, so that neither
the system's packages nor its list of architectures change.
"""

import contextlib
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence

from tflite.child.program import Finished, last_line, run

_TIMEOUT_SECONDS = 900


class Apt:
    """apt for one architecture, with an index of its own.

    Args:
        architecture: In Debian's words, `"arm64"`.
        folder: An empty folder for its state, readable by all, as apt's
            downloads drop root's rights.
        program: The program.
    """

    def __init__(self, architecture: str, folder: pathlib.Path, program: str = "apt-get"):
        self._folder = folder
        self._program = program
        self._architecture = architecture
        for name in ("state/lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True)
        (folder / "state/status").touch()
        # No lock is needed where nobody else is, and asking for one needs root.
        self._options = [
            f"--option={option}"
            for option in (
                f"Dir::State={folder}/state",
                f"Dir::State::status={folder}/state/status",
                f"Dir::Cache={folder}/cache",
                f"APT::Architecture={architecture}",
                f"APT::Architectures::={architecture}",
                "Debug::NoLocking=1",
            )
        ]
        # A source that fails is no matter if the packages are found without it.
        self._update = self._run("update", "--quiet")

    def download(self, packages: Sequence[str]) -> list[pathlib.Path]:
        """Downloads packages and all that they depend on.

        Raises:
            ValueError: If one is not offered or does not arrive whole.
        """
        done = self._run(
            "install", "--quiet", "--yes", "--no-install-recommends", "--download-only", *packages
        )
        if done.exit_code:
            raise ValueError(
                f"apt offers no {self._architecture} packages of {' '.join(packages)} "
                "(Ubuntu has arm64 ones in its ports archive, to be added to apt's sources). "
                f"Received: {_complaints(done, self._update) or done.ending}"
            )
        return sorted((self._folder / "cache/archives").glob("*.deb"))

    def _run(self, command, *arguments):
        environment = ["/usr/bin/env", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"]
        return run(
            [*environment, self._program, *self._options, command, *arguments], _TIMEOUT_SECONDS
        )


def check_system(path: str | None = None) -> None:
    """Raises ValueError where there is no apt or dpkg.

    Args:
        path: Where to look, by default `PATH`.
    """
    missing = [name for name in ("apt-get", "dpkg") if not shutil.which(name, path=path)]
    if missing:
        raise ValueError(
            "Only a Debian or Ubuntu system can set up ARM64's packages. "
            f"Received: a system without {' and '.join(missing)}"
        )


def host_architecture() -> str:
    """This system's architecture in Debian's words."""
    return _checked(run(["dpkg", "--print-architecture"], _TIMEOUT_SECONDS)).stdout.strip()


def unpack(archives: Sequence[pathlib.Path], folder: pathlib.Path) -> list[str]:
    """Unpacks .deb files into a folder, running none of their scripts.

    Returns:
        `"name version"` of each.

    Raises:
        ValueError: If one is damaged.
    """
    versions = []
    for archive in archives:
        _checked(run(["dpkg", "--extract", archive, folder], _TIMEOUT_SECONDS))
        fields = run(["dpkg-deb", "--field", archive, "Package", "Version"], _TIMEOUT_SECONDS)
        values = [line.partition(": ")[2] for line in _checked(fields).stdout.splitlines()]
        versions.append(" ".join(values))
    # Packages of a system with merged /usr leave these links to the package of base files.
    for name in ("bin", "lib", "sbin"):
        if (folder / "usr" / name).is_dir() and not (folder / name).exists():
            (folder / name).symlink_to(f"usr/{name}")
    return versions


@contextlib.contextmanager
def public_temporary_folder() -> Iterator[pathlib.Path]:
    """A temporary folder that other users may read."""
    with tempfile.TemporaryDirectory(prefix="care_keras_arm64-") as folder:
        os.chmod(folder, 0o755)
        yield pathlib.Path(folder)


def _checked(finished: Finished) -> Finished:
    if finished.exit_code:
        raise ValueError(f"dpkg {finished.ending}. Received: {last_line(finished.stderr)}")
    return finished


def _complaints(*runs):
    """The first error or warning of each."""
    lines = [re.search(r"^[EW]: (.+)", done.output, re.MULTILINE) for done in runs]
    return "; ".join(line[1] for line in lines if line)
