"""Files of runs on phones, as `android_bench report`, `compare` and `run --resume` read them."""

import contextlib
import json
import pathlib
import tempfile

from android_bench.records import RecordFile, measured, read_records
from android_bench.report.compare import compare
from android_bench.report.contents import as_csv, as_json, evaluate, text
from android_bench.report.page import page
from android_bench.run.profiling import profiled_keys
from android_bench.run.verify import verified_keys
from tests.android_bench.made_records import SERIAL, write_run
from tests.fuzz.formats import Format
from tests.fuzz.mutate import json_text
from tests.fuzz.mutate import text as lines
from tflite.benchmark import statistics

# Intervals of thousands of draws take most of the time, and are no part of the file.
statistics._RESAMPLES = 8
# Pictures take a second: of so many pages one is drawn.
_PAGES = 100
_CELL = {"serial": SERIAL, "label": "a", "sha256": "sum of a", "delegate": "cpu", "threads": 1}
_VERIFIED = {
    **_CELL,
    "cores": "big",
    "status": "ok",
    "reason": None,
    "host_runtime": "2.3.0",
    "images": "8 images",
    "passed": True,
    "verdict": "close",
    "compared": 8,
    "largest_difference": 1.0,
    "unit": "codes",
    "labelled": 100,
    "top1": 0.5,
    "host_top1": 0.5,
}
_PROFILED = {
    **_CELL,
    "cores": "big",
    "status": "ok",
    "reason": None,
    "operations": [{"type": "ADD", "nodes": 1, "time_ms": 0.5, "share": 1.0}],
}


def _made(*made):
    with tempfile.TemporaryDirectory() as folder:
        path = write_run(pathlib.Path(folder, "run.jsonl"), *made)
        with RecordFile(path) as file:
            file.append("verify", **_VERIFIED)
            file.append("profile", **_PROFILED)
            file.append("lost", serial=SERIAL, reason="gone")
            file.append("end", serial=SERIAL, failed=1)
        return path.read_bytes()


def _corpus():
    return {
        "one": _made({("a", "cpu"): [1.0, 1.1, 1.2, 1.3], ("b", "gpu"): [2.0, 2.1, "broke"]}),
        "two": _made({("a", "cpu"): [1.0, 1.0, 1.0], ("a", "xnnpack"): ["broke", "broke"]}),
    }


def _mutate(rng, content, others):
    if rng.random() < 0.2:
        return lines.mutate(rng, content, others)
    records = content.split(b"\n")
    place = rng.randrange(len(records) - 1)
    others = [json.loads(one) for one in rng.choice(others).split(b"\n") if one]
    records[place] = json_text.mutate_tree(rng, json.loads(records[place]), others)
    return b"\n".join(records)


def _read(path, sound=[]):  # noqa: B006
    if not sound:
        sound += [json.loads(line) for line in _corpus()["one"].split(b"\n") if line]
    records = read_records(path)
    measured(records), verified_keys(records), profiled_keys(records)
    report = evaluate(records)
    for make in (text, as_csv, as_json):
        make(report)
    with contextlib.suppress(ValueError):
        compare(sound, records, 0.05)
    if len(path.read_bytes()) % _PAGES == 0:
        page(report, records)


FORMATS = {"runs": Format(".jsonl", _corpus, _mutate, _read)}
