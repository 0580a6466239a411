"""Arm's compiler Vela in a process of its own, and what it writes.

It is a native library that a file can crash, and it prints what it finds: nothing
of it is imported here. Each compilation has a folder that goes with it.
"""

import csv
import dataclasses
import importlib.metadata
import io
import os
import pathlib
import re
import sys
import tempfile
from collections.abc import Sequence

from care_keras.console.optional import require_installed
from care_keras.files import printable, read_bytes
from care_keras.tflite_file import Graph, read_graph
from tflite.audit.ethos_u.records import Estimate
from tflite.child.program import last_line, run

# The operator that a stretch of the graph becomes.
COMMAND_STREAM = "ethos-u"
# -P: no file of the working folder shadows one of its modules.
_COMMAND = (sys.executable, "-P", "-m", "ethosu.vela")
_MEMORIES = ("sram", "dram", "on_chip_flash", "off_chip_flash")
# Up to the next empty line; a name may hold quotes.
_REASON = re.compile(
    r"^Warning \(supported operators\) operator: \S+, ofm: '(.*)'\nReason: ((?:.+\n?)+)", re.M
)


@dataclasses.dataclass(frozen=True)
class Output:
    """What Vela gives for one file and accelerator.

    Attributes:
        graph: The file that it writes.
        reasons: Why operators stay on the CPU, by the name of the tensor that they write.
        estimate: Its estimate.
    """

    graph: Graph
    reasons: dict[str, str]
    estimate: Estimate


def vela_version() -> str:
    """Version of the installed package."""
    return importlib.metadata.version("ethos-u-vela")


def check_accelerators(names: Sequence[str]) -> None:
    """Asks Vela whether it knows them.

    Raises:
        MissingDependencyError: If it is not installed.
        ValueError: If one is unknown or there are none; or if Vela does not start.
    """
    require_installed("ethosu", "vela")
    done = run([*_COMMAND, "--help"], 60, name="Vela")
    known = list(dict.fromkeys(re.findall(r"ethos-u\d+(?:-\d+)+", done.stdout)))
    if done.exit_code or not known:
        raise ValueError(
            f"Vela does not say what it compiles for. Received: {last_line(done.output)!r}"
        )
    if not names or set(names) - set(known):
        raise ValueError(
            f"The accelerators are {', '.join(known)}. "
            f"Received: {', '.join(name for name in names if name not in known) or 'none'}"
        )


def compile_file(path: str | os.PathLike, accelerator: str, timeout_seconds: float) -> Output:
    """Compiles a file with the system and memory that Vela assumes for the accelerator.

    Args:
        path: The .tflite file.
        accelerator: As `check_accelerators` takes it.
        timeout_seconds: Time after which Vela is stopped.

    Raises:
        ValueError: If Vela fails or takes too long, or what it writes is not what is known.
    """
    with tempfile.TemporaryDirectory(prefix="care_keras_vela-") as folder:
        # Not its flags that tell operators of CPU and NPU: with them it fails on some files of
        # several outputs (5.2.0), and the file that it writes tells as well.
        flags = ["--accelerator-config", accelerator, "--output-dir", folder]
        done = run([*_COMMAND, *flags, os.path.abspath(path)], timeout_seconds, name="Vela")
        if done.exit_code:
            raise ValueError(f"Vela {done.ending} ({last_line(done.stderr or done.stdout)})")
        return Output(
            graph=read_graph(_only(folder, "*_vela.tflite")),
            reasons={tensor: reason.strip() for tensor, reason in _REASON.findall(done.stdout)},
            estimate=read_summary(_only(folder, "*_summary_*.csv")),
        )


def read_summary(path: str | os.PathLike) -> Estimate:
    """What Vela's CSV of one row says; times in it are seconds, memory is KiB.

    Raises:
        ValueError: If it lacks something.
    """
    content = read_bytes(path).decode(errors="replace")
    try:
        row = next(csv.DictReader(io.StringIO(content, newline="")), {})
    except csv.Error as error:
        raise ValueError(f"Vela's summary is no CSV: {error}. Received: {path}") from error
    try:
        return Estimate(
            cycles=round(float(row["cycles_total"])),
            npu_cycles=round(float(row["cycles_npu"])),
            inference_ms=1e3 * float(row["inference_time"]),
            clock_hz=float(row["core_clock"]),
            system_config=row["system_config"],
            memory_mode=row["memory_mode"],
            memory_bytes={
                name: round(1024 * float(row[f"{name}_memory_used"])) for name in _MEMORIES
            },
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"Vela's summary is not as it was: nothing to read in {str(error)[:80]}. "
            f"Received: the columns {printable(', '.join(map(str, row))[:400])}"
        ) from error


def _only(folder, pattern):
    found = list(pathlib.Path(folder).glob(pattern))
    if len(found) != 1:
        raise ValueError(f"Vela writes one {pattern}. Received: {len(found)} files of that kind")
    return found[0]
