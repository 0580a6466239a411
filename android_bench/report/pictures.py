"""Pictures of a report, as SVG text that takes on the page's text colour, light or dark."""

import io
import itertools
import re
from collections.abc import Sequence

from android_bench.report.contents import Report, milliseconds
from android_bench.report.published import IPHONE_13
from android_bench.report.statistics import CellStatistics
from care_keras.pictures import COLORS, keep_dollars, new_figure

# Stands for the page's own text colour until the SVG is written.
_TEXT = "#010203"
# Inches: as wide as text is set on a wide page, and as a phone held upright.
WIDE, NARROW = 7.2, 3.9
_KINDS_SHOWN = 6
_MARKERS = "osD^vPX*"


def latency(
    cells: Sequence[CellStatistics], width: float = WIDE, name: str = "latency"
) -> str | None:
    """A bar per cell with its interval and 95th percentile; `None` without any figure.

    Args:
        cells: What to show.
        width: In inches.
        name: Of the picture, different from those of others in a page.
    """
    cells = [cell for cell in cells if cell.p50]
    if not cells:
        return None
    delegates = list(dict.fromkeys(cell.delegate for cell in cells))
    figure, axes = _figure(width, 1.0 + 0.5 * len(cells))
    longest = max(max(cell.p50.high, cell.p95_ms or 0) for cell in cells)
    for position, cell in enumerate(cells):
        value = cell.p50.value
        axes.barh(
            position,
            value,
            height=0.46,
            color=COLORS[delegates.index(cell.delegate) % len(COLORS)],
            xerr=[[value - cell.p50.low], [cell.p50.high - value]],
            error_kw={"elinewidth": 1.2, "capsize": 3, "ecolor": _TEXT},
        )
        if cell.p95_ms:
            axes.plot([cell.p95_ms], [position], "|", color=_TEXT, markersize=10)
        end = max(cell.p50.high, cell.p95_ms or 0)
        marked = " *" if set(cell.marks) & {"throttled", "rounds disagree"} else ""
        axes.text(end + 0.02 * longest, position, f"{milliseconds(value)}{marked}", va="center")
        about = f", {cell.delegate}, {cell.threads} thr, {cell.cores}"
        _name_of_bar(axes, position - 0.24, cell.label, about)
    axes.set_ylim(len(cells) - 0.6, -0.75)
    # A time of seven characters has to stand beside the longest bar.
    axes.set_xlim(0, longest * (1 + 0.85 / (width - 0.6)))
    axes.set_xlabel("latency, ms")
    _legend(figure, delegates)
    return _svg(figure, name)


def accuracy(
    report: Report,
    cells: Sequence[CellStatistics],
    width: float = WIDE,
    name: str = "accuracy",
) -> str | None:
    """Top-1 against latency, of ImageNet beside published points; `None` if none is known.

    Args:
        report: What knows the accuracies.
        cells: Of it, what to show.
        width: In inches.
        name: Of the picture, different from those of others in a page.
    """
    points = [(cell, found) for cell in cells if cell.p50 and (found := report.top1_of(cell))]
    if not points:
        return None
    delegates = list(dict.fromkeys(cell.delegate for cell, _ in points))
    labels = list(dict.fromkeys(cell.label for cell, _ in points))
    figure, axes = _figure(width, 4.0 + 0.2 * len(labels))
    published = any(top1.of_imagenet for _, top1 in points)
    if published:
        _draw_published(axes)
    for cell, top1 in points:
        value, (low, high) = cell.p50.value, top1.interval
        axes.errorbar(
            value,
            100 * top1.value,
            xerr=[[value - cell.p50.low], [cell.p50.high - value]],
            yerr=[[100 * (top1.value - low)], [100 * (high - top1.value)]],
            fmt=_MARKERS[labels.index(cell.label) % len(_MARKERS)],
            capsize=3,
            color=COLORS[delegates.index(cell.delegate) % len(COLORS)],
        )
    axes.set_xscale("log")
    # The first point's name stands to its left.
    axes.margins(x=1.3 / width, y=0.15)
    axes.grid(color=_TEXT, alpha=0.12, which="both")
    axes.set_axisbelow(True)
    _plain_log_axis(axes)
    axes.set_xlabel(f"latency, ms{' (hollow: published, iPhone 13)' if published else ''}")
    axes.set_ylabel("top-1, %")
    _legend(figure, delegates, labels)
    return _svg(figure, name)


def _draw_published(axes):
    for family in dict.fromkeys(point.family for point in IPHONE_13):
        points = [point for point in IPHONE_13 if point.family == family]
        axes.plot(
            [point.latency_ms for point in points],
            [100 * point.top1 for point in points],
            "o--",
            color=_TEXT,
            alpha=0.55,
            markerfacecolor="none",
            linewidth=1,
        )
        # A line is known by its first model: the others' names would lie on one another.
        axes.annotate(
            points[0].name,
            (points[0].latency_ms, 100 * points[0].top1),
            textcoords="offset points",
            xytext=(-5, 4),
            ha="right",
            fontsize=8,
            color=_TEXT,
            alpha=0.65,
        )


def profile(
    profiles: Sequence[dict],
    phones: dict[str, str],
    width: float = WIDE,
    name: str = "profile",
) -> str | None:
    """Shares of a run's time by kind of operation, a bar per model and delegate.

    Args:
        profiles: `profile` records.
        phones: Names of the phones by serial number, where there are several.
        width: In inches.
        name: Of the picture, different from those of others in a page.
    """
    profiles = [one for one in profiles if one["status"] == "ok" and one["operations"]]
    if not profiles:
        return None
    totals: dict[str, float] = {}
    for one in profiles:
        for operation in one["operations"]:
            totals[operation["type"]] = totals.get(operation["type"], 0) + operation["share"]
    kinds = sorted(totals, key=lambda kind: -totals[kind])
    shown, rest = kinds[:_KINDS_SHOWN], kinds[_KINDS_SHOWN:]
    names = shown + (["other"] if rest else [])
    columns = _columns(names, width)
    figure, axes = _figure(width, 0.9 + 0.55 * len(profiles) + 0.2 * -(-len(names) // columns))
    left = [0.0] * len(profiles)
    for number, kind in enumerate(names):
        shares = [
            100 * sum(op["share"] for op in one["operations"] if op["type"] in _members(kind, rest))
            for one in profiles
        ]
        color = _TEXT if kind == "other" else COLORS[number % len(COLORS)]
        alpha = 0.35 if kind == "other" else 1.0
        axes.barh(
            range(len(profiles)),
            shares,
            left=left,
            height=0.5,
            color=color,
            alpha=alpha,
            label=kind,
        )
        left = [start + share for start, share in zip(left, shares, strict=True)]
    for position, one in enumerate(profiles):
        phone = f", {phones[one['serial']]}" if phones else ""
        _name_of_bar(axes, position - 0.26, one["label"], f", {one['delegate']}{phone}")
    axes.set_ylim(len(profiles) - 0.6, -0.75)
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of the time of a profiled run, %")
    figure.legend(
        loc="outside upper left", ncols=columns, frameon=False, labelcolor=_TEXT, fontsize=8
    )
    return _svg(figure, name)


def temperature(
    points: Sequence[tuple], width: float = WIDE, name: str = "temperature"
) -> str | None:
    """Temperatures of one phone during the run; `None` if it told none.

    Args:
        points: As in `Report.trace`.
        width: In inches.
        name: Of the picture, different from those of others in a page.
    """
    points = sorted(point for point in points if point[1] is not None or point[2] is not None)
    if not points:
        return None
    figure, axes = _figure(width, 3.0)
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
    figure = new_figure(width, height)
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


def _name_of_bar(axes, position, label, about):
    """Above its bar, where a long name has room in a narrow picture too."""
    axes.set_yticks([])
    room = int((axes.figure.get_figwidth() - 0.4) / 0.068) - len(about)
    if len(label) > room:
        # Both ends of a name tell files apart: what it is, and its precision.
        half = max(4, room // 2 - 1)
        label = f"{label[:half]}…{label[-half:]}"
    text = axes.annotate(
        label + about,
        (0, position),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        xytext=(3, 1.5),
        va="bottom",
        color=_TEXT,
    )
    text.set_in_layout(False)


def _columns(texts, width):
    """How many columns of a legend fit."""
    # A character of 9 points takes some 0.075 inches, a handle and its margins 0.6.
    return max(1, min(len(texts), int(width / (0.6 + 0.075 * max(map(len, texts))))))


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
        ncols=_columns([handle.get_label() for handle in handles], figure.get_figwidth()),
        frameon=False,
        labelcolor=_TEXT,
        fontsize=9,
    )


def _svg(figure, name):
    import matplotlib

    for axes in figure.axes:
        for text in axes.texts:
            if text.get_color() == "black":
                text.set_color(_TEXT)
            if not text.get_fontsize() < 9:
                text.set_fontsize(8.5)
    keep_dollars(figure)
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
