"""Runs the GPU probe in a process of its own, and tells how far it came."""

import dataclasses
import json
import os
import pathlib
import sys

import numpy as np

from tflite.audit.gpu.inputs import GpuInputs
from tflite.audit.gpu.log import GpuLog, parse_gpu_log
from tflite.child.program import last_line, run

_PROBE = pathlib.Path(__file__).with_name("probe.py")


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One run of the probe.

    Attributes:
        stage: How far it came: `"start"`, `"cpu"`, `"ranges"`, `"compile"`,
            `"run"`, `"done"`, or `"error"`.
        facts: What it said of itself on the way.
        ending: How it ended, where that was no proper end, or `None`.
        hung: Whether it was stopped after its time.
        log: What the runtime printed.
        results: Arrays `(samples, *shape)` by `cpu/INDEX` and `gpu/INDEX`.
        icd: The Vulkan driver's description it was given, or `None`.
    """

    stage: str
    facts: dict
    ending: str | None
    hung: bool
    log: GpuLog
    results: dict[str, np.ndarray]
    icd: str | None


class Job:
    """A file and its inputs, to be run with one Vulkan driver or another.

    Args:
        folder: Where files are left between the processes.
        model: The .tflite file.
        inputs: What to run it on.
        precision: `"float32"` or `"float16"`, what the GPU may compute in.
        runtime_folder: Folder of the accelerator's library, `None` for the
            runtime's.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        model: str | os.PathLike,
        inputs: GpuInputs,
        precision: str,
        runtime_folder: str | os.PathLike | None,
    ):
        self._path = folder / "job.json"
        self._outputs, self._log = folder / "outputs.npz", folder / "log.txt"
        self._report = folder / "report.jsonl"
        self._content = {
            "model": os.fspath(model),
            "inputs": os.fspath(folder / "inputs.npz"),
            "outputs": os.fspath(self._outputs),
            "log": os.fspath(self._log),
            "report": os.fspath(self._report),
            "precision": precision,
            "runtime_folder": None if runtime_folder is None else os.fspath(runtime_folder),
        }
        np.savez(folder / "inputs.npz", **{str(i): array for i, array in inputs.arrays.items()})

    def run(self, icd: str | None, timeout_seconds: float) -> Attempt:
        """Runs it once.

        Args:
            icd: A Vulkan driver's description, `None` for those of the system.
            timeout_seconds: Time after which it is stopped.

        Raises:
            RuntimeError: If the probe itself fails.
        """
        for path in (self._outputs, self._log, self._report):
            path.unlink(missing_ok=True)
        self._path.write_text(json.dumps(self._content | {"icd": icd}))
        ending, hung = None, False
        try:
            # -P keeps the probe's folder off the path of imports.
            done = run([sys.executable, "-P", _PROBE, self._path], timeout_seconds)
        except ValueError:
            hung = True
        else:
            ending = done.ending if done.exit_code else None
            said = done.output + _read(self._log)
            if "Traceback (most recent call last)" in said or not self._report.exists():
                # Python's own failure: no word about the file.
                raise RuntimeError(f"the GPU probe fails: {last_line(said)}")
        facts = {"stage": "start"}
        for line in _read(self._report).splitlines():
            facts |= json.loads(line)
        results = {}
        if facts["stage"] == "done":
            with np.load(self._outputs, allow_pickle=False) as archive:
                results = {name: archive[name] for name in archive.files}
        return Attempt(
            stage=facts.pop("stage"),
            facts=facts,
            ending=ending,
            hung=hung,
            log=parse_gpu_log(_read(self._log)),
            results=results,
            icd=icd,
        )


def _read(path):
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
