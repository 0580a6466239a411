"""What happens when a command first imports Keras, or TensorFlow.

Keras gets a backend that is installed. TensorFlow's start-up messages are kept out of
what a command prints: its C++ part writes them to the file descriptor before its log is
set up, where no setting reaches them (tensorflow/tensorflow issue 100442): half a dozen
lines about CUDA and oneDNN before a command's own.
"""

import contextlib
import importlib.abc
import importlib.machinery
import os
import re
import sys
import tempfile
from collections.abc import Iterator

# What says no more than that there is no GPU; a GPU that fails says something else.
_NOISE = re.compile(
    rb"^(WARNING: All log messages before absl::InitializeLog\(\)"
    rb"|[IWE]\d{4} .*(oneDNN custom operations are on"
    rb"|Could not find cuda drivers on your machine"
    rb"|failed call to cuInit: .*UNKNOWN ERROR \(303\)))"
)
# What a command tells the processes that it starts.
_MARK = "CARE_KERAS_COMMAND"
PACKAGES = ("care_keras", "tflite", "android_bench", "care_keras_commands")


def quiet_commands() -> None:
    """In the commands of this project, lets the first import of TensorFlow pass without them.

    Called before anything imports Keras; it imports nothing itself, and changes
    nothing for those who use the package as a library. What else TensorFlow
    writes to stderr while it is imported comes out after the import. A backend
    that is not installed is replaced when Keras is imported.
    """
    if is_command() and "tensorflow" not in sys.modules:
        os.environ[_MARK] = "1"
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        sys.meta_path.insert(0, _Finder())


def is_command() -> bool:
    """Whether this process is `python -m` of one of our modules, or started by such."""
    if _MARK in os.environ:
        return True
    words = sys.orig_argv
    after = words[words.index("-m") + 1 :][:1] if "-m" in words else []
    return bool(after) and after[0].partition(".")[0] in PACKAGES


class _Finder(importlib.abc.MetaPathFinder):
    """Gives TensorFlow's own loader, made quiet, also to those who only ask whether it is there."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname == "keras":
            # Not before: a command that fails at its flags has no use for a backend.
            from care_keras.console.keras_backend import choose_backend

            choose_backend()
        if fullname != "tensorflow":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _QuietLoader(spec.loader)
        return spec


class _QuietLoader(importlib.abc.Loader):
    """A loader whose modules are executed without start-up messages."""

    def __init__(self, loader):
        self._loader = loader

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        with without_noise():
            self._loader.exec_module(module)
            # The last message comes when GPUs are looked for, which any first operation does.
            module.config.list_physical_devices("GPU")


@contextlib.contextmanager
def without_noise() -> Iterator[None]:
    """Holds back what is written to file descriptor 2, and then passes on what is no noise."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            for line in held:
                if not _NOISE.match(line):
                    os.write(2, line)
