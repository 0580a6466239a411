"""A test double of benchmark_model: prints a log of the real one, or misbehaves."""

import pathlib
import sys

LOGS = pathlib.Path(__file__).parent / "benchmark_model_logs"


def write_fake(
    folder: pathlib.Path,
    log: str = "run_25_use_xnnpack_explicit",
    profile_log: str = "run_02_profile_t2_small_conv_f32",
    before: str = "",
) -> pathlib.Path:
    """Writes the program; it appends its arguments to `calls.txt` beside it.

    Args:
        folder: Where to.
        log: Log whose outputs and exit code it repeats.
        profile_log: The same for a run with `--enable_op_profiling`.
        before: Python code that it runs first.
    """
    program = folder / "benchmark_model"
    program.write_text(
        f"""#!{sys.executable} -SE
import os, pathlib, re, sys
with open({str(folder / "calls.txt")!r}, "a") as calls:
    calls.write(repr(sys.argv[1:]) + "\\n")
{before}
name = {profile_log!r} if "--enable_op_profiling=true" in sys.argv else {log!r}
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
