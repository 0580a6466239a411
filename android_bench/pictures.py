"""Pictures of a report, as SVG text that takes on the page's text colour, light or dark."""

import io
import itertools
import re
from collections.abc import Sequence

from android_bench.published import IPHONE_13, IPHONE_13_SOURCE
from android_bench.report import Report, milliseconds
from android_bench.statistics import CellStatistics
from care_keras.optional import require
from tflite.latency_chart import COLORS

# Stands for the page's own text colour until the SVG is written.
_TEXT = "#010203"
_KINDS_SHOWN = 6
_MARKERS = "osD^vPX*"


def latency(cells: Sequence[CellStatistics], name: str = "latency") -> str | None:
    """A bar per cell with its interval and 95th percentile; `None` without any figure.

    Args:
        cells: What to show.
        name: Of the picture, different from those of others in a page.
    """
    cells = [cell for cell in cells if cell.p50]
    if not cells:
        return None
    delegates = list(dict.fromkeys(cell.delegate for cell in cells))
    figure, axes = _figure(7.2, 1.1 + 0.42 * len(cells))
    longest = max(max(cell.p50.high, cell.p95_ms or 0) for cell in cells)
    for position, cell in enumerate(cells):
        value = cell.p50.value
        axes.barh(
            position,
            value,
            height=0.72,
            color=COLORS[delegates.index(cell.delegate) % len(COLORS)],
            xerr=[[value - cell.p50.low], [cell.p50.high - value]],
            error_kw={"elinewidth": 1.2, "capsize": 3, "ecolor": _TEXT},
        )
        if cell.p95_ms:
            axes.plot([cell.p95_ms], [position], "|", color=_TEXT, markersize=11)
        end = max(cell.p50.high, cell.p95_ms or 0)
        marked = " *" if set(cell.marks) & {"throttled", "rounds disagree"} else ""
        axes.text(end + 0.02 * longest, position, f"{milliseconds(value)}{marked}", va="center")
    axes.set_yticks(range(len(cells)), [_short(cell) for cell in cells])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.22 * longest)
    axes.set_xlabel("latency, ms: median, 95 % interval, tick at the 95th percentile")
    _legend(figure, delegates)
    return _svg(figure, name)


def accuracy(report: Report) -> str | None:
    """Top-1 against latency, with published points; `None` if no accuracy is known."""
    points = [
        (cell, found[0]) for cell in report.cells if cell.p50 and (found := report.top1_of(cell))
    ]
    if not points:
        return None
    delegates = list(dict.fromkeys(cell.delegate for cell, _ in points))
    figure, axes = _figure(7.2, 4.4)
    axes.plot(
        [point.latency_ms for point in IPHONE_13],
        [100 * point.top1 for point in IPHONE_13],
        "o--",
        color=_TEXT,
        alpha=0.55,
        markerfacecolor="none",
        linewidth=1,
    )
    for point in IPHONE_13:
        axes.annotate(
            point.name,
            (point.latency_ms, 100 * point.top1),
            textcoords="offset points",
            xytext=(-5, 4),
            ha="right",
            fontsize=8,
            color=_TEXT,
            alpha=0.65,
        )
    labels = list(dict.fromkeys(cell.label for cell, _ in points))
    for cell, top1 in points:
        value = cell.p50.value
        axes.errorbar(
            value,
            100 * top1,
            xerr=[[value - cell.p50.low], [cell.p50.high - value]],
            fmt=_MARKERS[labels.index(cell.label) % len(_MARKERS)],
            capsize=3,
            color=COLORS[delegates.index(cell.delegate) % len(COLORS)],
        )
    axes.set_xscale("log")
    axes.margins(x=0.18, y=0.15)
    axes.grid(color=_TEXT, alpha=0.12, which="both")
    axes.set_axisbelow(True)
    _plain_log_axis(axes)
    axes.set_xlabel(f"latency, ms (hollow: {IPHONE_13_SOURCE})")
    axes.set_ylabel("top-1, %")
    _legend(figure, delegates, labels)
    return _svg(figure, "accuracy")


def profile(profiles: Sequence[dict]) -> str | None:
    """Shares of a run's time by kind of operation, a bar per model and delegate."""
    profiles = [one for one in profiles if one["status"] == "ok" and one["operations"]]
    if not profiles:
        return None
    totals: dict[str, float] = {}
    for one in profiles:
        for operation in one["operations"]:
            totals[operation["type"]] = totals.get(operation["type"], 0) + operation["share"]
    kinds = sorted(totals, key=lambda kind: -totals[kind])
    shown, rest = kinds[:_KINDS_SHOWN], kinds[_KINDS_SHOWN:]
    figure, axes = _figure(7.2, 1.6 + 0.5 * len(profiles) + 0.22 * (len(shown) + 1) // 2)
    left = [0.0] * len(profiles)
    names = shown + (["other"] if rest else [])
    for number, name in enumerate(names):
        shares = [
            100 * sum(op["share"] for op in one["operations"] if op["type"] in _members(name, rest))
            for one in profiles
        ]
        color = _TEXT if name == "other" else COLORS[number % len(COLORS)]
        alpha = 0.35 if name == "other" else 1.0
        axes.barh(
            range(len(profiles)),
            shares,
            left=left,
            height=0.6,
            color=color,
            alpha=alpha,
            label=name,
        )
        left = [start + share for start, share in zip(left, shares, strict=True)]
    axes.set_yticks(
        range(len(profiles)), [f"{one['label']}\n{one['delegate']}" for one in profiles]
    )
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of the time of a profiled run, %")
    figure.legend(loc="outside upper left", ncols=2, frameon=False, labelcolor=_TEXT, fontsize=8)
    return _svg(figure, "profile")


def temperature(points: Sequence[tuple], name: str = "temperature") -> str | None:
    """Temperatures of one phone during the run; `None` if it told none.

    Args:
        points: As in `Report.trace`.
        name: Of the picture, different from those of others in a page.
    """
    points = sorted(point for point in points if point[1] is not None or point[2] is not None)
    if not points:
        return None
    figure, axes = _figure(7.2, 3.0)
    start = points[0][0]
    for column, label, color in ((1, "processor", COLORS[3]), (2, "battery", COLORS[0])):
        known = [point for point in points if point[column] is not None]
        if known:
            minutes = [(point[0] - start) / 60 for point in known]
            axes.plot(minutes, [point[column] for point in known], ".-", color=color, label=label)
    waits = [((point[0] - start) / 60, point[1] or point[2]) for point in points if point[3]]
    if waits:
        style = {"color": _TEXT, "fillstyle": "none", "markersize": 4, "label": "waiting"}
        axes.plot(*zip(*waits, strict=True), "o", **style)
    axes.set_xlabel("minutes")
    axes.set_ylabel("°C")
    axes.margins(y=0.2)
    axes.grid(color=_TEXT, alpha=0.12)
    figure.legend(loc="outside upper left", ncols=3, frameon=False, labelcolor=_TEXT, fontsize=9)
    return _svg(figure, name)


def _members(name, rest):
    return rest if name == "other" else [name]


def _figure(width, height):
    require("matplotlib", "report")
    from matplotlib.figure import Figure

    # `Figure` alone, without pyplot, needs no display and keeps no state.
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.subplots()
    axes.patch.set_alpha(0)
    axes.tick_params(which="both", colors=_TEXT, labelsize=8.5)
    for spine in axes.spines.values():
        spine.set_color(_TEXT)
        spine.set_alpha(0.4)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(_TEXT)
        label.set_fontsize(9)
    return figure, axes


def _plain_log_axis(axes):
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _legend(figure, delegates, labels=()):
    """Delegates by colour, and models by marker where they are told apart so."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Patch(color=COLORS[number % len(COLORS)], label=delegate)
        for number, delegate in enumerate(delegates)
    ]
    handles += [
        Line2D([], [], color=_TEXT, linestyle="", marker=marker, label=label)
        for marker, label in zip(itertools.cycle(_MARKERS), labels, strict=False)
    ]
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=min(len(handles), 4),
        frameon=False,
        labelcolor=_TEXT,
        fontsize=9,
    )


def _short(cell):
    return f"{cell.label}\n{cell.delegate}, {cell.threads} thr, {cell.cores}"


def _svg(figure, name):
    import matplotlib

    for axes in figure.axes:
        for text in axes.texts:
            if text.get_color() == "black":
                text.set_color(_TEXT)
            if not text.get_fontsize() < 9:
                text.set_fontsize(8.5)
    stream = io.StringIO()
    # Names of clip paths would be the same in every picture of the page without a salt.
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": name}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :].replace(_TEXT, "currentColor")
    # Glyphs are defined by names that all pictures share, and so are given the picture's.
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    return re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r"\1", svg, count=1).replace(
        ' height="', ' data-height="', 1
    )
