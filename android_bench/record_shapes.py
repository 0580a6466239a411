"""What the records of a run have to hold, so that reports and comparisons can be made of them."""

from collections.abc import Sequence

from care_keras.json_shape import (
    anything,
    each,
    maybe,
    misfit,
    number,
    positive,
    text,
    whole,
)

_MODEL = {"label": text, "sha256": text}
_CELL = {**_MODEL, "serial": text, "delegate": text, "threads": whole}
_DONE = {"status": text, "reason": maybe(text)}
_STATE = maybe(
    {
        "time": number,
        "processor": maybe(number),
        "battery": maybe(number),
        "thermal_status": maybe(whole),
        "current_khz?": each(number),
        "limit_khz?": each(number),
    }
)
_RUNS = {
    "count": whole,
    "median_us": maybe(positive),
    **dict.fromkeys(("avg_us", "p5_us", "p95_us", "max_us"), maybe(number)),
}
_LOG = {
    "regular": _RUNS,
    "init_us": number,
    **dict.fromkeys(("first_inference_us", "peak_memory_mib", "memory_overall_mib"), maybe(number)),
}
_DELEGATION = {
    "delegate": text,
    "coverage": maybe(text),
    **dict.fromkeys(("delegated_nodes", "nodes", "partitions"), maybe(whole)),
}
_KINDS = {
    "run": {
        "date": text,
        "host": {"cpu": maybe(text), "system": maybe(text)},
        "versions": each(maybe(text)),
        "models": [{**_MODEL, "size_bytes": whole, "top1": maybe(number)}],
        "binary": {
            "sha256": text,
            **dict.fromkeys(("family?", "program?", "release?"), maybe(text)),
        },
        "external?": maybe(text),
        "npu_libraries?": [_MODEL],
        "settings": {"delegates": [text], "cores": [text], "rounds": whole, "length": anything},
    },
    "device": {
        "serial": text,
        "device": {
            **dict.fromkeys(
                ("manufacturer", "model", "soc", "android", "fingerprint", "kernel", "gpu"),
                maybe(text),
            ),
            "sdk": maybe(whole),
            "abis": [text],
            "cores": [{"number": whole, "max_khz": maybe(positive)}],
            "memory_mib": maybe(number),
        },
    },
    "cell": {
        **_CELL,
        **_DONE,
        "cores": text,
        "round": whole,
        "core_numbers": [whole],
        "command": [text],
        "output": text,
        "log": maybe(_LOG),
        "delegation": maybe(_DELEGATION),
        "singles?": maybe({"times_us": [positive], "reason": maybe(text)}),
        "before": _STATE,
        "after": _STATE,
        "waits": [_STATE],
    },
    "verify": {
        **_CELL,
        **_DONE,
        "host_runtime": text,
        "images": text,
        "verdict?": text,
        "unit?": text,
        **dict.fromkeys(
            ("compared?", "largest_difference?", "labelled?", "top1?", "host_top1?"), maybe(number)
        ),
    },
    "profile": {
        **_MODEL,
        **_DONE,
        "serial": text,
        "delegate": text,
        "operations": [{"type": text, "share": number}],
    },
}


def misfit_of_records(records: Sequence[dict]) -> str | None:
    """The first thing that is not as `run` writes it, in words; `None` if all is.

    Args:
        records: Objects with a text as their `kind`, at least one.
    """
    head, phones = records[0], set()
    if found := misfit(head, _KINDS["run"]):
        return f"{found} in line 1"
    models = {model["sha256"] for model in head["models"]}
    settings = head["settings"]
    for line, record in enumerate(records, 1):
        kind = record["kind"]
        found = misfit(record, _KINDS.get(kind, {}))
        if not found and kind == "device":
            phones.add(record["serial"])
        elif not found and kind in ("cell", "verify", "profile"):
            found = _stranger(record, phones, models, settings)
        if not found and kind == "cell" and record["status"] == "ok":
            found = _nothing_measured(record)
        if not found and kind == "verify":
            found = _half_a_figure(record)
        if found:
            return f"{found} in line {line}"
    return None


def _stranger(record, phones, models, settings):
    """What of a record the head, or the phones before it, do not have."""
    known = {"serial": phones, "sha256": models, "delegate": settings["delegates"]}
    if record["kind"] == "cell":
        known["cores"] = settings["cores"]
    return next((name for name, values in known.items() if record[name] not in values), None)


def _half_a_figure(record):
    """What a figure of a check is told with."""
    told = {"largest_difference": "unit", "top1": "labelled"}
    return next((two for one, two in told.items() if record.get(one) and not record.get(two)), None)


def _nothing_measured(record):
    if record["log"] is None:
        return "log"
    runs = record["log"]["regular"]
    center = runs["avg_us"] if runs["median_us"] is None else runs["median_us"]
    return None if center is not None and positive(center) else "log.regular.median_us"
