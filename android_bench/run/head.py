"""The head of a run's file, and going on with one."""

import dataclasses
import hashlib
import pathlib
import platform

from android_bench.records import SCHEMA, RecordFile, measured, read_records
from android_bench.run.profiling import profiled_keys
from android_bench.run.request import Request
from android_bench.run.verify import verified_keys
from care_keras.litert.model import runtime_version
from tflite.benchmark.machine import describe_machine
from tflite.benchmark.report import sidecar_top1


def head(request: Request) -> dict:
    """Everything about a run that is known before it starts, as plain JSON types."""
    import importlib.metadata

    luggage = request.luggage
    binary = luggage.binary.read_bytes()
    verification = request.verification
    length = dataclasses.asdict(request.length)
    timeout = length.pop("timeout_seconds")
    return {
        "schema": SCHEMA,
        "host": describe_machine(),
        "versions": {
            "python": platform.python_version(),
            "adbutils": importlib.metadata.version("adbutils"),
            "ai-edge-litert": runtime_version(),
        },
        "models": [
            {
                "label": model.label,
                "sha256": model.sha256,
                "size_bytes": model.size_bytes,
                "top1": sidecar_top1(model.path),
            }
            for model in luggage.models
        ],
        # It does not say its version; the checksum tells two builds apart.
        "binary": {
            "name": luggage.binary.name,
            "sha256": hashlib.sha256(binary).hexdigest(),
            **request.program.fields(),
        },
        "external": None
        if luggage.external is None
        else hashlib.sha256(luggage.external.read_bytes()).hexdigest(),
        "npu_libraries": [
            {"label": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            for path in luggage.npu
        ],
        "settings": {
            "delegates": list(request.delegates),
            "threads": list(request.threads),
            "cores": list(request.cores),
            "rounds": request.rounds,
            "seed": request.seed,
            "length": length,
            "max_celsius": request.limits.max_celsius,
            "cooldown_seconds": request.cooldown_seconds,
            "partial": sorted(request.partial),
            "fallback_allowed": request.fallback_allowed,
            "nnapi_accelerator": luggage.options.nnapi_accelerator,
            "external_options": luggage.options.external_options,
            "verification": verification and verification.settings(),
        },
        # What changes no figure: a run may be gone on with under other patience.
        "patience": {**dataclasses.asdict(request.limits), "timeout_seconds": timeout},
    }


def open_file(path: pathlib.Path, resume: bool, content: dict) -> tuple[RecordFile, set[tuple]]:
    """Opens the file of a run.

    Args:
        path: The file.
        resume: Whether to go on with it if it exists.
        content: What `head` gave.

    Returns:
        The file, and the keys of what needs not be done again.

    Raises:
        ValueError: If it exists and `resume` is not set, or it is of a run with
            other settings.
    """
    if not path.exists() or path.stat().st_size == 0:
        if not path.parent.is_dir():
            raise ValueError(f"There is no such folder. Received: {path.parent}")
        file = RecordFile(path)
        file.append("run", **content)
        return file, set()
    if not resume:
        raise ValueError(
            f"The file exists: go on with it by --resume, or name another. Received: {path}"
        )
    before = read_records(path)
    _check_same(before[0], content, path)
    done = {key for key, record in measured(before).items() if record["status"] == "ok"}
    return RecordFile(path), done | verified_keys(before) | profiled_keys(before)


def _check_same(old, new, path):
    for name in ("models", "binary", "external", "npu_libraries"):
        # Runs of before that had no libraries for an NPU.
        if _sums(old.get(name, [])) != _sums(new[name]):
            what = name.replace("_", " ")
            raise ValueError(
                f"The run to go on with had other {what}: start a new one. Received: {path}"
            )
    for name, value in new["settings"].items():
        # More rounds are no contradiction to those that were run.
        if name != "rounds" and (before := old["settings"].get(name)) != value:
            if isinstance(before, dict) and isinstance(value, dict):
                part = next(key for key in value if before.get(key) != value[key])
                name, before, value = f"{name} {part}", before.get(part), value[part]
            raise ValueError(
                f"The run to go on with had another setting {name}: {before}. Received: {value}"
            )


def _sums(value):
    """What a file is, whatever else is known about it."""
    if isinstance(value, list):
        return [(one["label"], one["sha256"]) for one in value]
    return value["sha256"] if isinstance(value, dict) else value
