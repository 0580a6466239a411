"""What a run was made with: versions and the commit of the code."""

import pathlib
import platform
import subprocess

import keras
import numpy as np

import care_keras
from care_keras.console.optional import installed_version


def environment() -> dict:
    """Versions of Python and of what a result depends on, and the commit of this package."""
    backend = keras.backend.backend()
    # TensorFlow makes the input pipeline of every backend, where it is installed.
    packages = {"tensorflow", backend}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "keras": keras.version(),
        "backend": backend,
        **{package: installed_version(package) for package in sorted(packages)},
        "numpy": np.__version__,
        "care_keras": care_keras.__version__,
        **_commit(pathlib.Path(care_keras.__file__).parent),
    }


def _commit(folder):
    """`git_commit` and `git_dirty` of the checkout a folder is tracked in; `None`s elsewhere."""
    try:
        # An environment may lie inside another project's checkout.
        _git(folder, "ls-files", "--error-unmatch", "__init__.py")
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return {"git_commit": None, "git_dirty": None}
    return {"git_commit": commit, "git_dirty": bool(changed)}


def _git(folder, *arguments):
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=30
    ).stdout.strip()
