"""Programs that a fake phone starts: what was pushed to it, and scripts."""

import contextlib
import os
import pathlib
import shlex
import subprocess
import sys
import threading
import time

from tests.android_bench import stand_in_benchmark_model

STAND_INS = {
    family: pathlib.Path(stand_in_benchmark_model.__file__).with_name(name)
    for family, name in (
        ("tensorflow", "stand_in_benchmark_model.py"),
        ("litert", "stand_in_litert.py"),
    )
}


def writer(stream, kind):
    def write(text):
        stream.packet(kind, text.encode() if isinstance(text, str) else text)

    return write


def execute(phone, words, stream, mask, given=None):
    """A program by its path, with what `env` gives it."""
    err = writer(stream, 2)
    path = phone.path(words[0])
    if not path.is_file():
        err(f"sh: {words[0]}: inaccessible or not found\n")
        return 127
    content = path.read_bytes()
    if not os.access(path, os.X_OK) or path.stat().st_mode & 0o111 == 0:
        err(f"sh: {words[0]}: can't execute: Permission denied\n")
        return 126
    if phone.faults.not_executable:
        err(f"sh: {words[0]}: can't execute: Permission denied\n")
        return 126
    if content.startswith(b"#!/system/bin/sh\n"):
        return 0
    machine = int.from_bytes(content[18:20], "little")
    if machine != stand_in_benchmark_model.MACHINES[phone.abi]:
        err(f"sh: {words[0]}: not executable: 64-bit ELF file\n")
        return 126
    command = [sys.executable, "-E", str(_stand_in(content)), *words[1:]]
    environment = {**os.environ, "STAND_IN_ROOT": str(phone.root), **(given or {})}
    if words[1:] == ["--help"]:
        faults, name = phone.faults, " ".join(words)
        code = spawn(phone, command, stream, name, environment, change=faults.help_output)
        return code if faults.help_exit_code is None else faults.help_exit_code
    phone.run_environments.append(given or {})
    return _benchmark(phone, words, stream, mask, command, environment)


def _stand_in(content):
    """The stand-in that a pushed file is a mark of."""
    return next(
        path
        for family, path in STAND_INS.items()
        if stand_in_benchmark_model.MARKS[family] in content
    )


def _benchmark(phone, words, stream, mask, command, environment):
    number = len(phone.runs)
    phone.runs.append(words[1:])
    phone.run_masks.append(mask)
    faults = phone.faults
    phone.heat(phone.temperature() + phone.heat_per_run)
    if faults.drop_during_run == number:
        stream.packet(1, b"INFO: STARTING!\nINFO: half way\n")
        time.sleep(0.05)
        phone.reboot()
        return 255
    if faults.hang_in_run == number:
        stream.packet(1, b"INFO: STARTING!\n")
        return spawn(phone, ["/bin/sleep", "60"], stream, " ".join(words))
    if faults.profile_log is not None and "--enable_op_profiling=true" in words:
        text = faults.profile_log.read_text().split("\n", 1)[1]
        stream.packet(1, text.split("----- stderr -----")[0].encode())
        return 0
    code = spawn(phone, command, stream, " ".join(words), environment, change=faults.output)
    for word in words:
        if word.startswith("--output_filepath=") and faults.spoil_output is not None:
            path = phone.path(word.partition("=")[2])
            path.write_bytes(faults.spoil_output(path.read_bytes()))
    return code if faults.run_exit_code is None else faults.run_exit_code


def run_loop(phone, words, stream, arguments):
    """A script that starts benchmark_model by taskset: as it is, with a taskset of its own."""
    folder = phone.root.with_name(f"{phone.root.name}-bin")
    folder.mkdir(exist_ok=True)
    taskset = folder / "taskset"
    program = next(word for word in arguments if word.endswith("/benchmark_model"))
    stand_in = _stand_in(phone.path(program).read_bytes())
    run = f"{shlex.quote(sys.executable)} -E {shlex.quote(str(stand_in))}"
    # Without the cores' mask, which is of another machine, and the program, which is its header.
    environment = 'if [ "$1" = env ]; then export "$2" "$3"; shift 3; fi'
    taskset.write_text(f'#!/bin/sh\nshift\n{environment}\nshift\nexec {run} "$@"\n')
    taskset.chmod(0o755)
    phone.loops.append(arguments)
    faults = phone.faults
    if faults.drop_during_loop == len(phone.loops) - 1:
        threading.Timer(0.1, phone.reboot).start()
    environment = {
        **os.environ,
        "STAND_IN_ROOT": str(phone.root),
        "PATH": f"{folder}:{os.environ['PATH']}",
    }
    return spawn(phone, words, stream, " ".join(arguments), environment, change=faults.loop_output)


def spawn(phone, command, stream, name, environment=None, stdin=False, change=None):
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    process.phone_command = name
    phone.processes.add(process)
    threading.Thread(target=_end_with, args=(process, stream), daemon=True).start()
    copies = [
        threading.Thread(target=_copy, args=(pipe, stream, kind, change), daemon=True)
        for kind, pipe in ((1, process.stdout), (2, process.stderr))
    ]
    for copy in copies:
        copy.start()
    code = process.wait()
    for copy in copies:
        copy.join(5)
    phone.processes.discard(process)
    return 128 - code if code < 0 else code


def _end_with(process, stream):
    """adbd ends a program whose connection was closed."""
    stream.closed.wait()
    with contextlib.suppress(ProcessLookupError, OSError):
        if process.stdin:
            process.stdin.close()
        process.terminate()


def _copy(pipe, stream, kind, change):
    with contextlib.suppress(OSError, EOFError):
        if change is not None:
            stream.packet(kind, change(pipe.read().decode()).encode())
            return
        while data := pipe.read1():
            stream.packet(kind, data)
