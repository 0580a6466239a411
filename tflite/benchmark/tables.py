"""A latency run as text."""

from collections.abc import Sequence

from care_keras.console.table import format_table
from tflite.benchmark.latency import Latency
from tflite.benchmark.report import Comparison
from tflite.benchmark.statistics import Estimate
from tflite.benchmark_tool.profile import OpProfile


def latency_table(latencies: Sequence[Latency]) -> str:
    """Latencies, with the ratio to the first file."""
    center = f"{latencies[0].center} ms"
    # benchmark_model gives no more than a 95 % quantile.
    single = all(latency.latency_p99_ms is not None for latency in latencies)
    high = ["p90 ms", "p99 ms"] if single else ["p95 ms"]
    headers = ["model", "threads", "min ms", center, "95 % interval", *high]
    rows = []
    for latency in latencies:
        quantiles = (
            [latency.latency_p90_ms, latency.latency_p99_ms] if single else [latency.latency_p95_ms]
        )
        itself = latency.ratio.low == latency.ratio.high == 1
        rows.append(
            [
                latency.label,
                latency.run.threads,
                _figure(latency.latency_min_ms),
                _figure(latency.latency_median_ms.value),
                interval(latency.latency_median_ms),
                *(None if quantile is None else _figure(quantile.value) for quantile in quantiles),
                f"{latency.ratio.value:.3f}x",
                None if itself else interval(latency.ratio, 3),
            ]
        )
    return format_table([*headers, "ratio", "95 % interval"], rows)


def start_table(latencies: Sequence[Latency]) -> str:
    """What a start costs, and what XNNPACK runs of the graph."""
    rows = [
        [
            latency.label,
            latency.run.threads,
            _figure(latency.load_ms),
            _figure(latency.first_inference_ms),
            _mebibytes(latency.memory_increase_mib),
            _mebibytes(latency.peak_memory_mib),
            _delegated(latency.delegate),
        ]
        for latency in latencies
    ]
    headers = ["model", "threads", "load ms", "first ms", "model MiB", "process MiB"]
    return format_table([*headers, "XNNPACK runs"], rows)


def _digits(value):
    return 3 if value < 10 else 2


def _figure(value):
    return f"{value:.{_digits(value)}f}"


def interval(estimate: Estimate, digits: int | None = None) -> str:
    """`"1.23 to 1.45"`; of a time in milliseconds `digits` follow from its size."""
    digits = _digits(estimate.value) if digits is None else digits
    return f"{estimate.low:.{digits}f} to {estimate.high:.{digits}f}"


def _mebibytes(value):
    return None if value is None else f"{value:.1f}"


def _delegated(delegate):
    if delegate.coverage in (None, "none"):
        return {None: "unknown", "none": "nothing"}[delegate.coverage]
    count = delegate.partitions
    parts = "" if count is None else " in 1 part" if count == 1 else f" in {count} parts"
    if delegate.ops is not None:
        return f"{delegate.delegated_ops} of {delegate.ops} ops{parts}"
    return "all" if delegate.coverage == "all" else f"a part{parts}"


def profile_table(profile: OpProfile) -> str:
    """Time per kind of operation, the most expensive first."""
    rows = [
        [name, nodes, f"{time_ms:.4f}", f"{share:.1%}"]
        for name, nodes, time_ms, share in profile.by_node_type()
    ]
    return format_table(["operation", "nodes", "ms", "share"], rows)


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """Each file against an old report."""
    rows = [
        [
            one.label,
            one.threads,
            None if one.ratio is None else f"{one.ratio.value:.3f}x",
            None if one.ratio is None else interval(one.ratio, 3),
            one.verdict,
        ]
        for one in comparisons
    ]
    return format_table(["model", "threads", "new / old", "95 % interval", "verdict"], rows)
