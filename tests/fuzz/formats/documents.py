"""Small files of JSON, CSV and lines beside models and reports."""

import json
import pathlib

import numpy as np

from care_keras.data.preprocessing import prepare
from tests.fuzz.formats import Format
from tests.fuzz.mutate import json_text, text
from tflite.arm64.count import records as counts
from tflite.audit.ethos_u.vela import read_summary
from tflite.benchmark import report as benchmark
from tflite.evaluate.classes import read_labels
from tflite.inputs.records import read_sidecar

_TESTS = pathlib.Path(__file__).parents[2]
_PREPARED = {
    "height": 32,
    "width": 32,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "crop_ratio": 0.875,
    "interpolation": "bicubic",
    "steps": "resize keeping the aspect ratio, centre crop",
}
_SIDECAR = {
    "file": "model.tflite",
    "sha256": "0" * 64,
    "size_bytes": 1000,
    "input": {"name": "x", "shape": [1, 32, 32, 3], "dtype": "int8", "kind": "float"},
    "preprocessing": _PREPARED,
    "model_preprocessing": _PREPARED,
    "labels": ["airplane", "cat"],
    "check": {"files": [{"top1": 0.5}]},
}
_LARGEST = 4096
_REPORT = {
    "schema": benchmark.SCHEMA,
    "date": "2026-01-01T00:00:00+00:00",
    "machine": {"cpu": "a CPU", "system": "Linux"},
    "versions": {"python": "3.11", "ai-edge-litert": "2.3.0"},
    "settings": {"engine": "litert", "xnnpack": True, "rounds": 5},
    "models": [
        {"file": "a.tflite", "threads": 1, "input_shapes": {}, "rounds_ms": [1.0, 1.1, 1.2]},
        {"file": "b.tflite", "threads": 4, "input_shapes": {"x": [1, 8]}, "rounds_ms": [2.0]},
    ],
}
_SUMMARY = b"""experiment,network,accelerator_configuration,system_config,memory_mode,core_clock,\
sram_memory_used,dram_memory_used,on_chip_flash_memory_used,off_chip_flash_memory_used,\
inference_time,cycles_npu,cycles_total
default,net,Ethos_U55_256,Ethos_U55_High_End,Shared_Sram,5e8,100.5,0.0,0.0,200.25,0.001,5000,5500
"""


def _sidecar(path):
    content = path.with_name("model.json")
    content.write_bytes(path.read_bytes())
    benchmark.sidecar_top1(path.with_name("model.tflite"))
    found = read_sidecar(path.with_name("model.tflite"))
    if found is None:
        return
    for record in filter(None, (found.preprocessing, found.of_model)):
        # The model's own size is compared with it before anything so large is made.
        if max(record.height, record.width) <= _LARGEST and record.crop_ratio > 0.05:
            prepare(np.zeros((40, 50, 3), np.uint8), record)


def _report(path):
    content = benchmark.read_report(path)
    benchmark.runtime(content)
    try:
        benchmark.check_comparable(content, [], {"engine": "litert", "xnnpack": True})
    # It is of another machine.
    except ValueError as error:
        if type(error) is not ValueError:
            raise
    benchmark.compare([], content, 0.05)


def _counts(path):
    for one in counts.read_records(path):
        _ = one.name, one.to_dict()


def _json(value):
    return json.dumps(value, indent=1).encode()


def _counted():
    content = json.loads((_TESTS / "tflite" / "arm64" / "counts.json").read_bytes())
    for entry in content:
        entry["operators"] = (entry["operators"] or [])[:2]
    return {"counts": _json(content[:2])}


FORMATS = {
    "sidecars": Format(".json", lambda: {"s": _json(_SIDECAR)}, json_text.mutate, _sidecar),
    "reports": Format(".json", lambda: {"r": _json(_REPORT)}, json_text.mutate, _report),
    "counts": Format(".json", _counted, json_text.mutate, _counts),
    "summaries": Format(".csv", lambda: {"vela": _SUMMARY}, text.mutate, read_summary),
    "labels": Format(".txt", lambda: {"labels": b"airplane\ncat\ndog\n"}, text.mutate, read_labels),
}
