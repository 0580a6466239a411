"""The report as one HTML file that needs nothing else."""

import functools
from collections.abc import Sequence

from android_bench.report import pictures
from android_bench.report.contents import HEADERS, Report, device_line, program_line, row
from android_bench.report.page_parts import STYLE, facts, figure, note, table, text_of
from android_bench.report.published import IPHONE_13_SOURCE

# The page's second table: what else is known of a cell, beside its latency.
_STATE_HEADERS = ("max", "first", "init", "peak", "°C", "MHz")
_NAME_HEADERS = ("model", "delegate", "threads", "cores")
_PERCENTILES = (
    "p50: median over rounds of the rounds' medians, with its 95 % interval over rounds. p90, p99: "
    "of inferences that were timed one by one, three in a process, after a warm-up of 0.1 s "
    "({runs}); benchmark_model gives no such percentiles of its own rounds."
)
_STATE = (
    "max: the slowest inference of the rounds. first, init: the first inference, and loading. "
    "peak: memory of the process. °C: median before a round, and highest after one. MHz: median "
    "before and after, of the fastest core in use."
)
_LATENCY = (
    "Median over rounds of the rounds' medians; the bar's end has the 95 % interval over rounds, "
    "the tick is at the 95th percentile of the rounds. An asterisk marks a cell that was throttled "
    "or whose rounds disagree."
)
_ACCURACY = (
    "Top-1, with its 95 % interval where the number of images is known, is that of the model's own "
    "test images: {sources}."
)
_PUBLISHED = (
    f" Hollow points are published ones ({IPHONE_13_SOURCE}) and were not measured here; a line "
    "joins a family and has the name of its smallest."
)
_PROFILE = (
    "Runs with a profiler are slower: shares count, not times. Names in capital letters are "
    "TFLite's own kernels, the others the delegate's."
)


def page(report: Report, records: Sequence[dict]) -> str:
    """The HTML file.

    Args:
        report: What `report.evaluate` gave.
        records: Of the run; outputs of failed runs are taken from them.

    Raises:
        MissingDependencyError: If matplotlib is not installed.
    """
    names = "; ".join(device_line(device) for device in report.devices.values())
    body = [
        "<h1>Latency on phones</h1>",
        f'<p class="note">{text_of(names)} &middot; {text_of(_when(report.head["date"]))}</p>',
        _summary(report),
        *[_phone(report, number, serial) for number, serial in enumerate(report.devices)],
        _outputs(report),
        _profile(report),
        _failures(report, records),
        _delegation(report),
        _environment(report),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Latency on phones: {text_of(names)}</title><style>{STYLE}</style></head>"
        f"<body>{''.join(part for part in body if part)}</body></html>\n"
    )


def _when(date):
    return date.replace("T", " ").replace("+00:00", " UTC")


def _summary(report):
    measured = [cell for cell in report.cells if cell.p50]
    marked = [cell for cell in measured if cell.marks]
    failures = report.failures()
    text = (
        f"{len(measured)} of {len(report.cells)} cells measured in "
        f"{report.head['settings']['rounds']} interleaved rounds; {len(marked)} with marks"
    )
    if report.lost:
        text += f"; a phone was lost {report.lost} times"
    wrong = f' <span class="bad">Failed: {len(failures)}, see below.</span>' if failures else ""
    return f"<p>{text_of(text)}.{wrong}</p>"


def _phone(report, number, serial):
    """What was measured on one phone."""
    cells = [cell for cell in report.cells if cell.serial == serial]
    rows = [dict(zip(HEADERS, row(report, cell), strict=True)) for cell in cells]
    main = [name for name in HEADERS if name not in _STATE_HEADERS]
    # Of several phones each section says which.
    of_phone = f": {report.phone_names[serial]}" if len(report.devices) > 1 else ""
    return "".join(
        [
            f"<h2>{text_of(device_line(report.devices[serial]))}</h2>",
            table(main, [[values[name] for name in main] for values in rows]),
            note(_PERCENTILES.format(runs=_single_runs(cells))),
            figure(
                f"Latency by model and delegate{of_phone}",
                functools.partial(pictures.latency, cells),
                f"latency{number}",
                _LATENCY,
            ),
            figure(
                f"Accuracy against latency{of_phone}",
                functools.partial(pictures.accuracy, report, cells),
                f"accuracy{number}",
                _sources(report, cells),
            ),
            f"<h2>Start, memory and state{text_of(of_phone)}</h2>",
            table(
                (*_NAME_HEADERS, *_STATE_HEADERS),
                [[values[name] for name in (*_NAME_HEADERS, *_STATE_HEADERS)] for values in rows],
            ),
            note(_STATE),
            figure(
                f"Temperature during the run{of_phone}",
                functools.partial(pictures.temperature, report.trace.get(serial, [])),
                f"temperature{number}",
                "Read before and after each measurement, never during one.",
            ),
        ]
    )


def _single_runs(cells):
    counts = sorted({cell.single_runs for cell in cells if cell.p50})
    if not counts or not counts[-1]:
        return "none were"
    least = "" if counts[0] == counts[-1] else f"{counts[0]} to "
    return f"{least}{counts[-1]} a cell, of which p90 needs 10 and p99 100"


def _sources(report, cells):
    found = list(filter(None, map(report.top1_of, cells)))
    text = _ACCURACY.format(sources="; ".join(sorted({top1.source for top1 in found})))
    return text + (_PUBLISHED if any(top1.of_imagenet for top1 in found) else "")


def _outputs(report):
    if not report.verifications:
        return ""
    several = len(report.devices) > 1
    headers = [
        "model",
        "delegate",
        "threads",
        "outputs",
        "images",
        "largest difference",
        "top-1",
        "here",
    ]
    rows = [
        [
            one["label"],
            *([report.phone_names[one["serial"]]] if several else []),
            one["delegate"],
            one["threads"],
            one.get("verdict") or f"failed: {one['reason']}",
            one.get("compared"),
            _difference(one),
            _percent(one.get("top1")),
            _percent(one.get("host_top1")),
        ]
        for one in report.verifications
    ]
    if several:
        headers.insert(1, "phone")
    small = (
        f"Outputs on the phone against those of {report.verifications[0]['host_runtime']} on "
        "the computer, from the same input bytes: "
        f"{report.verifications[0]['images']}. Top-1 is counted on the phone's outputs, and on "
        "the computer's."
    )
    return f"<h2>Are the numbers right?</h2>{table(headers, rows)}{note(small)}"


def _difference(one):
    if not one.get("largest_difference"):
        return "0" if one.get("verdict") == "exact" else None
    return f"{one['largest_difference']:.3g} {one['unit']}"


def _percent(value):
    return None if value is None else f"{value:.1%}"


def _profile(report):
    names = report.phone_names if len(report.devices) > 1 else {}
    make = functools.partial(pictures.profile, report.profiles, names)
    return figure("Time by operation", make, "profile", _PROFILE)


def _failures(report, records):
    failures = report.failures()
    if not failures:
        return ""
    # Rounds that failed alike are told once, with the output of the first.
    alike: dict[tuple, list[dict]] = {}
    for one in records:
        if one["kind"] == "cell" and one["status"] == "failed":
            names = ("serial", "label", "delegate", "threads", "cores", "reason")
            alike.setdefault(tuple(one[name] for name in names), []).append(one)
    outputs = []
    for (serial, label, delegate, threads, cores, reason), ones in alike.items():
        rounds = ", ".join(str(one["round"]) for one in ones)
        phone = f"{report.phone_names[serial]}, " if len(report.devices) > 1 else ""
        title = f"{phone}{label}, {delegate}, threads {threads}, {cores}, rounds {rounds}: {reason}"
        outputs.append(
            f"<details><summary>{text_of(title)}</summary>"
            f"<pre>$ {text_of(' '.join(ones[0]['command']))}\n"
            f"{text_of(ones[0]['output'])}</pre></details>"
        )
    items = "".join(f'<li class="bad">{text_of(line)}</li>' for line in failures)
    return f"<h2>What failed</h2><ul>{items}</ul>{''.join(outputs)}"


def _delegation(report):
    several = len(report.devices) > 1
    rows = [
        [
            cell.name,
            *([report.phone_names[cell.serial]] if several else []),
            cell.delegation.describe() if cell.delegation else None,
        ]
        for cell in report.cells
    ]
    headers = ("cell", *(["phone"] if several else []), "by the delegate")
    return f"<h2>What ran the graph</h2>{table(headers, rows)}"


def _environment(report):
    head = report.head
    rows = []
    for serial, device in report.devices.items():
        rows += [
            [serial, f"{device['manufacturer']} {device['model']}"],
            ["SoC, GPU", f"{device['soc']}; {device['gpu'] or 'GPU unknown'}"],
            ["Android", f"{device['android']} (API {device['sdk']}), {device['fingerprint']}"],
            ["kernel", device["kernel"]],
            ["cores", ", ".join(_core(core) for core in device["cores"])],
            ["memory", f"{device['memory_mib']} MiB, ABIs {', '.join(device['abis'])}"],
        ]
    rows += [
        ["benchmark_model", program_line(head["binary"])],
        *[
            [model["label"], f"{model['size_bytes']:,} bytes, SHA-256 {model['sha256']}"]
            for model in head["models"]
        ],
        ["computer", f"{head['host']['cpu']}, {head['host']['system']}"],
        ["versions", ", ".join(f"{name} {text}" for name, text in head["versions"].items())],
        *[[name.replace("_", " "), _setting(value)] for name, value in head["settings"].items()],
    ]
    return f"<h2>Environment</h2>{facts(rows)}"


def _setting(value):
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {one}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or None
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value


def _core(core):
    khz = core["max_khz"]
    return f"{core['number']}: " + ("unknown" if khz is None else f"{khz / 1e6:g} GHz")
