"""Records as `run` writes them, with latencies and states of a test's choosing."""

import copy
import dataclasses
import pathlib

from android_bench.records import SCHEMA, RecordFile
from tests.tflite.benchmark_tool.test_log import LOGS
from tflite.benchmark_tool.log import parse_log

SERIAL = "FAKE0001"
DEVICE = {
    "serial": SERIAL,
    "manufacturer": "Nobody",
    "model": "Fake <1>",
    "soc": "Fakecomm FK8000",
    "android": "14",
    "sdk": 34,
    "fingerprint": "nobody/fake/1",
    "kernel": "Linux version 5.10.0",
    "abis": ["arm64-v8a"],
    "cores": [{"number": number, "max_khz": 2_400_000} for number in range(8)],
    "memory_mib": 7680,
    "gpu": None,
    "thermal_zones": {},
}
STATE = {
    "time": 1_700_000_000.0,
    "temperatures": {"cpu": 31.0},
    "processor": 31.0,
    "skin": None,
    "battery": 29.0,
    "battery_level": 80,
    "powered": True,
    "thermal_status": 0,
    "awake": True,
    "power_save": False,
    "current_khz": {str(number): 1_800_000 for number in range(8)},
    "limit_khz": {str(number): 2_400_000 for number in range(8)},
    "governors": ["schedutil"],
}


def log_fields(median_ms: float) -> dict:
    """Figures of a real log, scaled to a median."""
    log = parse_log((LOGS / "run_04_peakmem_small_conv_f32.log").read_text())
    fields = dataclasses.asdict(log)
    del fields["profile"]
    regular = fields["regular"]
    factor = median_ms * 1e3 / regular["median_us"]
    for name in ("first", "last", "min", "max", "avg", "std", "p5", "median", "p95"):
        regular[f"{name}_us"] *= factor
    return fields


def single_fields(median_ms: float, runs: int = 40) -> dict:
    """Runs timed one by one, evenly from 2 % below a median to 2 % above it."""
    return {
        "times_us": [1e3 * median_ms * (0.98 + 0.04 * i / (runs - 1)) for i in range(runs)],
        "processes": -(-runs // 3),
        "reason": None,
        "command": ["benchmark_model", "--num_runs=3"],
        "output": "",
    }


def write_run(
    path: pathlib.Path,
    cells: dict[tuple[str, str], list],
    changes: dict | None = None,
    device: dict | None = None,
) -> pathlib.Path:
    """A run of one phone.

    Args:
        path: The file.
        cells: By model and delegate: the median of each round in ms, or a
            reason for a failed round.
        changes: Fields of cell records: by `(model, delegate, round)`.
        device: Fields of the phone that differ.
    """
    models = list(dict.fromkeys(model for model, _ in cells))
    with RecordFile(path) as file:
        file.append(
            "run",
            schema=SCHEMA,
            host={"cpu": "a CPU", "system": "Linux"},
            versions={"python": "3.11"},
            models=[
                {"label": name, "sha256": f"sum of {name}", "size_bytes": 1000, "top1": 0.8}
                for name in models
            ],
            binary={"name": "benchmark_model", "sha256": "0" * 64},
            external=None,
            settings={
                "delegates": list(dict.fromkeys(delegate for _, delegate in cells)),
                "threads": [1],
                "cores": ["big"],
                "rounds": max(map(len, cells.values())),
                "length": {},
            },
        )
        file.append("device", serial=SERIAL, device={**DEVICE, **(device or {})})
        for (model, delegate), rounds in cells.items():
            for number, value in enumerate(rounds):
                record = _cell(model, delegate, number + 1, value)
                record.update((changes or {}).get((model, delegate, number + 1), {}))
                file.append("cell", **record)
    return path


def _cell(model, delegate, number, value):
    failed = isinstance(value, str)
    return {
        "serial": SERIAL,
        "round": number,
        "label": model,
        "sha256": f"sum of {model}",
        "delegate": delegate,
        "threads": 1,
        "cores": "big",
        "core_numbers": [4, 5, 6, 7],
        "status": "failed" if failed else "ok",
        "reason": value if failed else None,
        "command": ["benchmark_model", "--graph=<x>"],
        "output": "<output> of the tool\x1b[A",
        "log": None if failed else log_fields(value),
        "delegation": None
        if failed
        else {
            "delegate": delegate,
            "coverage": "all",
            "delegated_nodes": 60,
            "nodes": 60,
            "partitions": 1,
        },
        "singles": None if failed else single_fields(value),
        "before": copy.deepcopy(STATE) | {"time": STATE["time"] + 20.0 * number},
        "after": copy.deepcopy(STATE)
        | {"time": STATE["time"] + 20.0 * number + 10, "processor": 38.0},
        "waits": [],
    }
