"""Runs the GPU probe in a process of its own, and tells how far it came."""

import dataclasses
import os
import pathlib
import time

import numpy as np

from tflite.audit.gpu import probe
from tflite.audit.gpu.log import GpuLog, parse_gpu_log
from tflite.audit.inputs import AuditInputs
from tflite.child.program import last_line
from tflite.child.worker import WorkerError, open_worker


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
        inputs: AuditInputs,
        precision: str,
        runtime_folder: str | os.PathLike | None,
    ):
        self._request = {
            "model": os.fspath(model),
            "inputs": os.fspath(folder / "inputs.npz"),
            "outputs": os.fspath(folder / "outputs.npz"),
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
        until = time.monotonic() + timeout_seconds
        facts, ending, hung, results = {"stage": "start"}, None, False, {}
        with open_worker(probe.__file__, self._request | {"icd": icd}) as worker:
            try:
                while facts["stage"] != "done" and "error" not in facts:
                    facts |= worker.next(until - time.monotonic())
            except WorkerError as error:
                ending, hung = error.ending, error.exit_code is None
            said = worker.said
        if ending and not hung and ("Traceback (most recent" in said or facts["stage"] == "start"):
            # Python's own failure: no word about the file.
            raise RuntimeError(f"the GPU probe fails: {last_line(said)}")
        if facts["stage"] == "done":
            with np.load(self._request["outputs"], allow_pickle=False) as archive:
                results = {name: archive[name] for name in archive.files}
        stage = facts.pop("stage")
        return Attempt(
            stage="error" if "error" in facts else stage,
            facts=facts,
            ending=None if hung else ending,
            hung=hung,
            log=parse_gpu_log(said),
            results=results,
            icd=icd,
        )
