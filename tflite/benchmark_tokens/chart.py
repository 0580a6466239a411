"""A picture of how attention's time and work grow with the number of tokens."""

import os
from collections.abc import Sequence
from math import exp, log

from care_keras.pictures import COLORS, new_figure, save_figure
from tflite.benchmark_tokens.scaling import Growth, TokenCount
from tflite.benchmark_tokens.shape import KINDS

_NAMES = {"linear": "CARE's linear attention", "softmax": "softmax attention"}
_DASHES = (0, (5, 3))


def draw(
    counts: Sequence[TokenCount], fit: Growth, path: str | os.PathLike, title: str, note: str
) -> None:
    """Writes the picture, whole or not at all.

    Args:
        counts: What was measured, the smallest size first.
        fit: The exponents, drawn as lines through the sizes that they were fitted to.
        path: File that ends in .png, .svg or .pdf.
        title: What was measured.
        note: Line below: machine and runtime.

    Raises:
        MissingDependencyError: If matplotlib is not installed.
        OSError: If the file cannot be written.
    """
    figure = new_figure(10.4, 4.6)
    time_axes, work_axes = figure.subplots(1, 2)
    for kind, color, marker in zip(KINDS, COLORS, "os", strict=False):
        tokens = [count.tokens for count in counts]
        medians = [count.latencies[kind].latency_median_ms for count in counts]
        errors = [
            [median.value - median.low for median in medians],
            [median.high - median.value for median in medians],
        ]
        values = [median.value for median in medians]
        style = {"color": color, "marker": marker, "markersize": 5, "linestyle": "none"}
        time_axes.errorbar(tokens, values, yerr=errors, capsize=3, label=_NAMES[kind], **style)
        macs = [count.macs[kind] / 1e6 for count in counts]
        work_axes.plot(tokens, macs, label=_NAMES[kind], **style)
        _line(time_axes, counts, values, fit.time[kind].value, fit, color)
        _line(work_axes, counts, macs, fit.macs[kind], fit, color)
    time_axes.set_ylabel("time of one inference, ms (median, 95 % interval)")
    work_axes.set_ylabel("multiply-accumulates, millions")
    for axes in (time_axes, work_axes):
        _scales(axes, counts)
        # The handle of a line that stands for both.
        axes.plot([], [], color="0.35", linewidth=1, linestyle=_DASHES, label=_fitted(fit))
        handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        labels = [*_NAMES.values(), _fitted(fit)]
        axes.legend([handles[label] for label in labels], labels, frameon=False, loc="upper left")
    figure.suptitle(title, fontsize=11)
    save_figure(figure, path, note, math=True)


def _fitted(fit):
    return f"power of tokens, fitted from {fit.tokens[0]:,} on"


def _line(axes, counts, values, exponent, fit, color):
    """The fitted power of the number of tokens, through the fitted points' middle."""
    fitted = [
        (log(count.tokens), log(value))
        for count, value in zip(counts, values, strict=True)
        if count.tokens >= fit.tokens[0]
    ]
    x, y = (sum(pair[i] for pair in fitted) / len(fitted) for i in (0, 1))
    ends = [counts[0].tokens, counts[-1].tokens]
    line = [exp(y + exponent * (log(tokens) - x)) for tokens in ends]
    axes.plot(ends, line, color=color, linewidth=1, linestyle=_DASHES, zorder=1)
    axes.annotate(
        f"tokens$^{{{exponent:.2f}}}$",
        (ends[-1], line[-1]),
        textcoords="offset points",
        xytext=(8, 0),
        va="center",
        fontsize=9,
        color=color,
        annotation_clip=False,
    )


def _scales(axes, counts):
    from matplotlib.ticker import FuncFormatter, NullLocator

    axes.set_xscale("log")
    axes.set_yscale("log")
    tokens = [count.tokens for count in counts]
    axes.set_xticks(tokens, [f"{count.tokens:,}\n{count.side} px" for count in counts], fontsize=8)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    # Room for the exponents beside the last points.
    span = tokens[-1] / tokens[0]
    axes.set_xlim(tokens[0] / span**0.06, tokens[-1] * span**0.24)
    axes.set_xlabel("tokens (side of the image)")
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
