"""Commands run as a user runs them: in a process of their own, or in this one.

A process takes seconds to import TensorFlow, so each command has one for the
way as a whole, and its other tests run it here.
"""

import contextlib
import copy
import gc
import logging
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from unittest import mock

import absl.logging
import pytest
from absl import app, flags

from care_keras.console import startup_messages

ROOT = pathlib.Path(__file__).parents[2]


def run_command(
    command: str, *arguments: str, folder: os.PathLike = ROOT, timeout: float = 600, **environment
) -> subprocess.CompletedProcess:
    """Runs `python -m tflite.COMMAND` in a folder, with text of both streams."""
    return run_process(
        f"tflite.{command}", *arguments, folder=folder, timeout=timeout, **environment
    )


def run_process(
    module: str, *arguments: str, folder: os.PathLike = ROOT, timeout: float = 600, **environment
) -> subprocess.CompletedProcess:
    """Runs `python -m MODULE` in a folder, with text of both streams."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.fspath(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def run_here(
    module: str, *arguments: str, folder: os.PathLike = ROOT, **environment
) -> subprocess.CompletedProcess:
    """`run_process` without the process: what was imported before is not imported again.

    The module is executed anew, as `__main__`. Flags, environment, logging, streams and
    working folder are the command's while it runs, and as before afterwards.
    """
    # What a command that starts sets for itself and the processes that it starts.
    own = {"PYTHONPATH": os.fspath(ROOT), startup_messages._MARK: "1"}
    own |= {} if "TF_CPP_MIN_LOG_LEVEL" in os.environ else {"TF_CPP_MIN_LOG_LEVEL": "2"}
    with (
        pytest.MonkeyPatch.context() as patch,
        mock.patch.dict(os.environ, own | environment),
        _streams() as texts,
        contextlib.chdir(folder),
        _flags(),
        _logging(),
        _garbage_collection(),
    ):
        # `runpy` puts the module's file in the first place.
        patch.setattr(sys, "argv", ["", *map(str, arguments)])
        code = _exit_code(module)
    return subprocess.CompletedProcess([module, *arguments], code, *texts)


def _exit_code(module):
    """Runs a module to its end; a traceback is printed, as the interpreter does."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except Exception:
        traceback.print_exc()
        return 1
    return 0


@contextlib.contextmanager
def _streams() -> Iterator[list[str]]:
    """Takes both streams, what C++ and other processes write to them included."""
    texts = []
    with contextlib.ExitStack() as stack:
        files = []
        for number, name in ((1, "stdout"), (2, "stderr")):
            getattr(sys, name).flush()
            file = stack.enter_context(tempfile.TemporaryFile("w+"))
            kept = os.dup(number)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, number)
            os.dup2(file.fileno(), number)
            stream = stack.enter_context(open(os.dup(number), "w", buffering=1))
            stack.callback(setattr, sys, name, getattr(sys, name))
            setattr(sys, name, stream)
            files.append(file)
        yield texts
        for name, file in zip(("stdout", "stderr"), files, strict=True):
            getattr(sys, name).flush()
            file.seek(0)
            # In a process of a command these are held back while TensorFlow is imported.
            lines = (x for x in file if not startup_messages._NOISE.match(x.encode()))
            texts.append("".join(lines))


@contextlib.contextmanager
def _flags() -> Iterator[None]:
    """Flags of the libraries alone, until the command defines its own.

    `DEFINE_...` have the one `FLAGS` for a default, so its contents are exchanged. Modules of
    ours that define flags are imported again: the flags come with the import.
    """
    app.define_help_flags()
    own = vars(flags.FLAGS)
    before, modules = dict(own), dict(sys.modules)
    fresh = flags.FlagValues()
    for module, defined in flags.FLAGS.flags_by_module_dict().items():
        if _is_ours(module):
            _forget(module)
        else:
            for flag in copy.deepcopy(defined):
                fresh[flag.name] = flag
                fresh.register_flag_by_module(module, flag)
    _exchange(own, vars(fresh))
    try:
        yield
    finally:
        defined = flags.FLAGS.flags_by_module_dict()
        _exchange(own, before)
        for module, values in defined.items():
            if _is_ours(module):
                _forget(module)
            # A library that the command was the first to import; its own file is no module now.
            elif module in sys.modules and module not in before["__flags_by_module"]:
                for flag in values:
                    flags.FLAGS[flag.name] = flag
                    flags.FLAGS.register_flag_by_module(module, flag)
        for module in before["__flags_by_module"]:
            if _is_ours(module):
                _remember(module, modules[module])


def _is_ours(module):
    return module.partition(".")[0] in startup_messages.PACKAGES


def _exchange(contents, others):
    contents.clear()
    contents.update(others)


def _forget(module):
    package, _, name = module.rpartition(".")
    sys.modules.pop(module, None)
    vars(sys.modules[package]).pop(name, None)


def _remember(name, module):
    package, _, attribute = name.rpartition(".")
    sys.modules[name] = module
    setattr(sys.modules[package], attribute, module)


@contextlib.contextmanager
def _logging() -> Iterator[None]:
    """What `app.run` sets up in a process once, for this command's stderr."""
    loggers = logging.root, absl.logging.get_absl_logger()
    levels, handlers = [logger.level for logger in loggers], logging.root.handlers[:]
    handler = absl.logging.get_absl_handler().python_handler
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handler, "stream", sys.stderr)
        patch.setattr(app._run_init, "done", True)
        absl.logging.use_absl_handler()
        try:
            yield
        finally:
            logging.root.handlers[:] = handlers
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def _garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    try:
        yield
    finally:
        (gc.enable if enabled else gc.disable)()
