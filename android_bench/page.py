"""The report as one HTML file that needs nothing else."""

import html
from collections.abc import Sequence

from android_bench import pictures
from android_bench.published import IPHONE_13_SOURCE
from android_bench.report import HEADERS, Report, device_line, row

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881; --bad: #b3261e;
  --quiet: color-mix(in srgb, CanvasText 68%, Canvas); }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem; max-width: 76rem; background: Canvas; color: CanvasText;
  font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.wide { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .87rem; }
th, td { text-align: left; padding: .3rem .5rem; border-bottom: 1px solid var(--line);
  white-space: nowrap; vertical-align: top; }
th { font-weight: 600; } .number { text-align: right; } .facts td { text-align: left; }
.facts td { white-space: normal; }
.facts td:first-child { color: var(--quiet); white-space: nowrap; }
figure { margin: .5rem 0; } figure .wide { padding-bottom: .3rem; }
figure svg { display: block; width: 100%; min-width: 34rem; max-width: 46rem; height: auto; }
figcaption, .note { color: var(--quiet); font-size: .87rem; max-width: 46rem; }
.bad { color: var(--bad); } pre { background: var(--soft); padding: .6rem; overflow-x: auto;
  font-size: .78rem; line-height: 1.35; max-height: 24rem; }
summary { cursor: pointer; }
"""
_LATENCY = (
    "Median over rounds of the rounds' medians; the bar's end has the 95 % interval over rounds. "
    "An asterisk marks a cell that was throttled or whose rounds disagree."
)
_ACCURACY = (
    f"Hollow points are published reference points ({IPHONE_13_SOURCE}) and were not measured "
    "here. The top-1 of a point of this run is that of its own test images: {sources}."
)
_PERCENTILES = (
    "p50: median over rounds of the rounds' medians, with its 95 % interval over rounds. p90, p99: "
    "of inferences that were timed one by one, three in a process, after a warm-up of 0.1 s "
    "({runs}); benchmark_model gives no such percentiles of its own rounds. max: the slowest "
    "inference of the rounds."
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
    names = ", ".join(device_line(device) for device in report.devices.values())
    head = report.head
    body = [
        "<h1>Latency on phones</h1>",
        f'<p class="note">{_text(names)} &middot; {_text(_when(head["date"]))}</p>',
        _summary(report),
    ]
    for number, (serial, device) in enumerate(report.devices.items()):
        cells = [cell for cell in report.cells if cell.serial == serial]
        title = device_line(device)
        body.append(f"<h2>{_text(title)}</h2>")
        body.append(_table(HEADERS, [row(report, cell) for cell in cells]))
        body.append(_note(_PERCENTILES.format(runs=_single_runs(cells))))
        body.append(
            _figure(
                "Latency by model and delegate",
                pictures.latency(cells, f"latency{number}"),
                _LATENCY,
            )
        )
    body.append(_figure("Accuracy against latency", pictures.accuracy(report), _sources(report)))
    body.append(_outputs(report))
    body.append(_figure("Time by operation", pictures.profile(report.profiles), _PROFILE))
    for number, (serial, points) in enumerate(report.trace.items()):
        title = f"Temperature during the run: {device_line(report.devices[serial])}"
        caption = "Read before and after each measurement, never during one."
        body.append(_figure(title, pictures.temperature(points, f"temperature{number}"), caption))
    body += [_failures(report, records), _delegation(report), _environment(report)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Latency on phones: {_text(names)}</title><style>{_STYLE}</style></head>"
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
    return f"<p>{_text(text)}.{wrong}</p>"


def _single_runs(cells):
    counts = sorted({cell.single_runs for cell in cells if cell.p50})
    if not counts or not counts[-1]:
        return "none were"
    least = "" if counts[0] == counts[-1] else f"{counts[0]} to "
    return f"{least}{counts[-1]} a cell, of which p90 needs 10 and p99 100"


def _sources(report):
    sources = {found[1] for cell in report.cells if (found := report.top1_of(cell))}
    return _ACCURACY.format(sources="; ".join(sorted(sources)))


def _outputs(report):
    if not report.verifications:
        return ""
    headers = ("model", "delegate", "outputs", "images", "largest difference", "top-1", "here")
    rows = [
        [
            one["label"],
            one["delegate"],
            one.get("verdict") or f"failed: {one['reason']}",
            one.get("compared"),
            _difference(one),
            _percent(one.get("top1")),
            _percent(one.get("host_top1")),
        ]
        for one in report.verifications
    ]
    note = (
        f"Outputs on the phone against those of {report.verifications[0]['host_runtime']} on "
        "the computer, from the same input bytes: "
        f"{report.verifications[0]['images']}. Top-1 is counted on the phone's outputs, and on "
        "the computer's."
    )
    return f"<h2>Are the numbers right?</h2>{_table(headers, rows)}{_note(note)}"


def _difference(one):
    if not one.get("largest_difference"):
        return "0" if one.get("verdict") == "exact" else None
    return f"{one['largest_difference']:.3g} {one['unit']}"


def _percent(value):
    return None if value is None else f"{value:.1%}"


def _delegation(report):
    rows = [
        [cell.name, cell.delegation.describe() if cell.delegation else None]
        for cell in report.cells
    ]
    return f"<h2>What ran the graph</h2>{_table(('cell', 'by the delegate'), rows)}"


def _failures(report, records):
    failures = report.failures()
    if not failures:
        return ""
    outputs = [
        f"<details><summary>round {one['round']}, {_text(one['label'])}, "
        f"{_text(one['delegate'])}: {_text(one['reason'] or '')}</summary>"
        f"<pre>$ {_text(' '.join(one['command']))}\n{_text(one['output'])}</pre></details>"
        for one in records
        if one["kind"] == "cell" and one["status"] == "failed"
    ]
    items = "".join(f'<li class="bad">{_text(line)}</li>' for line in failures)
    return f"<h2>What failed</h2><ul>{items}</ul>{''.join(outputs)}"


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
        ["benchmark_model", f"SHA-256 {head['binary']['sha256']}"],
        *[
            [model["label"], f"{model['size_bytes']:,} bytes, SHA-256 {model['sha256']}"]
            for model in head["models"]
        ],
        ["computer", f"{head['host']['cpu']}, {head['host']['system']}"],
        ["versions", ", ".join(f"{name} {text}" for name, text in head["versions"].items())],
        *[[name.replace("_", " "), _setting(value)] for name, value in head["settings"].items()],
    ]
    return f'<h2>Environment</h2><div class="facts">{_table((), rows)}</div>'


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


def _figure(title, svg, caption):
    if svg is None:
        return ""
    name = _text(title)
    picture = svg.replace("<svg", f'<svg role="img" aria-label="{name}"', 1)
    return (
        f'<h2>{name}</h2><figure><div class="wide">{picture}</div>'
        f"<figcaption>{_text(caption)}</figcaption></figure>"
    )


def _table(headers, rows):
    columns = zip(*rows, strict=True) if rows else [()] * len(headers)
    titles = "".join(
        f"<th{_alignment(column)}>{_text(title)}</th>"
        for title, column in zip(headers, columns, strict=False)
    )
    lines = "".join(f"<tr>{''.join(_cell(value) for value in values)}</tr>" for values in rows)
    top = f"<thead><tr>{titles}</tr></thead>" if headers else ""
    return f'<div class="wide"><table>{top}<tbody>{lines}</tbody></table></div>'


def _cell(value):
    if value is None:
        return "<td>&ndash;</td>"
    return f"<td{_alignment([value])}>{_text(value)}</td>"


def _alignment(values):
    """Figures stand to the right, and the title of a column of them."""
    known = [str(value) for value in values if value is not None]
    figures = known and all(text[:1].isdigit() and " to " not in text for text in known)
    return ' class="number"' if figures else ""


def _note(text):
    return f'<p class="note">{_text(text)}</p>'


def _text(value):
    # A terminal's control characters are none that HTML may hold.
    plain = "".join(one for one in str(value) if one in "\n\t" or ord(one) >= 32)
    return html.escape(plain)
