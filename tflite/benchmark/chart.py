"""A picture of a latency run: bars, and accuracy against latency where it is known."""

import os
from collections.abc import Sequence

from care_keras.pictures import COLORS, new_figure, save_figure
from tflite.benchmark.latency import Latency


def draw(
    latencies: Sequence[Latency],
    accuracies: dict[str, float],
    path: str | os.PathLike,
    note: str,
) -> None:
    """Writes the picture, whole or not at all.

    Args:
        latencies: What to show: a bar each, with its 95 % interval.
        accuracies: Top-1 shares by the files' names; without any, no second panel.
        path: File that ends in .png, .svg or .pdf.
        note: Line below: machine and runtime.

    Raises:
        MissingDependencyError: If matplotlib is not installed.
        OSError: If the file cannot be written.
    """
    threads = sorted({latency.run.threads for latency in latencies})
    labels = list(dict.fromkeys(latency.label for latency in latencies))
    known = [latency for latency in latencies if latency.label in accuracies]
    height = 2.2 + 0.45 * len(latencies)
    panels = 2 if known else 1
    figure = new_figure(6.2 * panels, max(3.4, height))
    axes = figure.subplots(1, panels, squeeze=False)[0]
    _bars(axes[0], latencies, labels, threads)
    if known:
        _scatter(axes[1], known, accuracies, threads)
    save_figure(figure, path, note)


def _bars(axes, latencies, labels, threads):
    thickness = 0.8 / len(threads)
    longest = max(latency.latency_median_ms.high for latency in latencies)
    for latency in latencies:
        estimate = latency.latency_median_ms
        row = threads.index(latency.run.threads)
        position = labels.index(latency.label) + (row - (len(threads) - 1) / 2) * thickness
        axes.barh(
            position,
            estimate.value,
            height=0.9 * thickness,
            color=COLORS[row % len(COLORS)],
            xerr=[[estimate.value - estimate.low], [estimate.high - estimate.value]],
            error_kw={"elinewidth": 1.2, "capsize": 3},
        )
        text = f"{estimate.value:.3g} ms"
        if latency.ratio.value != 1.0:
            text += f"  {latency.ratio.value:.2f}x"
        axes.text(estimate.high + 0.02 * longest, position, text, va="center", fontsize=8)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.3 * longest)
    axes.set_xlabel("latency, ms (median over rounds, 95 % interval)")
    _legend(axes, threads)


def _scatter(axes, latencies, accuracies, threads):
    named = set()
    for latency in latencies:
        estimate = latency.latency_median_ms
        row = threads.index(latency.run.threads)
        accuracy = 100 * accuracies[latency.label]
        axes.errorbar(
            estimate.value,
            accuracy,
            xerr=[[estimate.value - estimate.low], [estimate.high - estimate.value]],
            fmt="o",
            capsize=3,
            color=COLORS[row % len(COLORS)],
        )
        if latency.label not in named:
            # One label for a file's points, which share their height.
            named.add(latency.label)
            axes.annotate(
                latency.label,
                (estimate.value, accuracy),
                textcoords="offset points",
                xytext=(0, 8),
                ha="center",
                fontsize=8,
            )
    axes.margins(x=0.3, y=0.3)
    axes.set_xlim(left=0)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.set_xlabel("latency, ms")
    axes.set_ylabel("top-1, %")
    _legend(axes, threads)


def _legend(axes, threads):
    if len(threads) > 1:
        from matplotlib.patches import Patch

        axes.legend(
            handles=[
                Patch(color=COLORS[row % len(COLORS)], label=_threads(count))
                for row, count in enumerate(threads)
            ],
            fontsize=8,
            frameon=False,
            ncols=len(threads),
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
        )


def _threads(count):
    return "1 thread" if count == 1 else f"{count} threads"
