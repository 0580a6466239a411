"""Test doubles of both benchmark_models: they print logs of the real ones, or misbehave."""

import pathlib
import sys
import textwrap

from tests.tflite import litert_program

LOGS = pathlib.Path(__file__).parent / "benchmark_model_logs"


def write_fake(
    folder: pathlib.Path,
    log: str = "run_25_use_xnnpack_explicit",
    profile_log: str = "run_02_profile_t2_small_conv_f32",
    before: str = "",
) -> pathlib.Path:
    """Writes TensorFlow Lite's; it appends its arguments to `calls.txt` beside it.

    Args:
        folder: Where to.
        log: Log whose outputs and exit code it repeats.
        profile_log: The same for a run with `--enable_op_profiling`.
        before: Python code that it runs first, but for `--help`.
    """
    program = folder / "benchmark_model"
    program.write_text(
        f"""#!{sys.executable} -SE
import os, pathlib, re, sys
with open({str(folder / "calls.txt")!r}, "a") as calls:
    calls.write(repr(sys.argv[1:]) + "\\n")
if "--help" not in sys.argv:
{textwrap.indent(before or "pass", "    ")}
name = {profile_log!r} if "--enable_op_profiling=true" in sys.argv else {log!r}
name = "run_09_help" if "--help" in sys.argv else name
text = open({str(LOGS)!r} + "/" + name + ".log").read()
command, rest = text.split("\\n", 1)
stdout, rest = rest.split("----- stderr -----\\n")
stderr, code = re.fullmatch(r"(?s)(.*)----- exit code: (\\d+) -----\\n", rest).groups()
sys.stdout.write(stdout)
sys.stderr.write(stderr)
sys.exit(int(code))
"""
    )
    program.chmod(0o755)
    return program


def write_litert_fake(
    folder: pathlib.Path, run: tuple[str, str], exit_code: int = 0, profile: str = ""
) -> pathlib.Path:
    """Writes LiteRT's own program, which keeps account of its calls likewise.

    Args:
        folder: Where to.
        run: What it writes to stdout and to stderr.
        exit_code: How it ends then.
        profile: What it adds to stderr with `--use_profiler`.
    """
    program = folder / "benchmark_model"
    program.write_text(
        f"""#!{sys.executable} -SE
import sys
with open({str(folder / "calls.txt")!r}, "a") as calls:
    calls.write(repr(sys.argv[1:]) + "\\n")
helping = "--help" in sys.argv
stdout, stderr = {litert_program.help_outputs()!r} if helping else {run!r}
sys.stdout.write(stdout)
sys.stderr.write(stderr)
if "--use_profiler=true" in sys.argv:
    sys.stderr.write({profile!r})
sys.exit(0 if helping else {exit_code})
"""
    )
    program.chmod(0o755)
    return program
