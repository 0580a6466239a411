"""How time and multiply-accumulates of attention grow with the number of tokens."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from care_keras.console.table import format_table
from care_keras.models.config import CAREConfig
from tflite.benchmark.latency import Latency
from tflite.benchmark.statistics import Estimate, paired_ratio
from tflite.benchmark.tables import interval
from tflite.benchmark_tokens.shape import KINDS

_RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class TokenCount:
    """Both kinds of attention at one size of image.

    Attributes:
        side: Height and width of the image in pixels.
        tokens: Pixels of the map that attention works on.
        macs: Multiply-accumulates of one inference, by kind (`KINDS`).
        latencies: What was measured, by kind.
        ratio: Time of softmax in units of linear attention's, paired by round.
    """

    side: int
    tokens: int
    macs: dict[str, int]
    latencies: dict[str, Latency]
    ratio: Estimate


@dataclasses.dataclass(frozen=True)
class Growth:
    """Exponents `e` of `cost ~ tokens**e` over the larger sizes.

    Attributes:
        tokens: Least and largest number of tokens of the fit.
        macs: Exponent of multiply-accumulates, by kind.
        time: Exponent of the latency, by kind, with its 95 % bootstrap interval.
        shortest_time: Exponent of the shortest time of all, by kind: what else
            runs on the machine interrupts long inferences more often than short
            ones, and so adds to the exponent of the others.
    """

    tokens: tuple[int, int]
    macs: dict[str, float]
    time: dict[str, Estimate]
    shortest_time: dict[str, float]


def token_count(
    side: int,
    tokens: int,
    macs: dict[str, int],
    latencies: dict[str, Latency],
    generator: np.random.Generator,
) -> TokenCount:
    """One size, with the ratio of its times."""
    softmax, linear = (latencies[kind].centers_ms for kind in ("softmax", "linear"))
    return TokenCount(side, tokens, macs, latencies, paired_ratio(softmax, linear, generator))


def exponent(tokens: Sequence[float], costs: Sequence[float]) -> float:
    """The slope of `log(cost)` over `log(tokens)` by least squares."""
    return float(_slopes(np.asarray(tokens, float), np.asarray(costs, float)))


def growth(counts: Sequence[TokenCount], generator: np.random.Generator) -> Growth:
    """Fits the larger half of the sizes, where overheads that do not grow count least.

    Of two or three sizes it takes two.

    Args:
        counts: At least two sizes, the smallest first.
        generator: Source of the bootstrap's draws, over rounds.
    """
    counts = counts[-max(2, (len(counts) + 1) // 2) :]
    tokens = [count.tokens for count in counts]
    time = {}
    for kind in KINDS:
        # (sizes, rounds): a round, which all sizes share, is what is drawn.
        centers = np.asarray([count.latencies[kind].centers_ms for count in counts])
        draws = generator.integers(0, centers.shape[1], (_RESAMPLES, centers.shape[1]))
        drawn = _slopes(np.asarray(tokens, float), np.median(centers[:, draws], axis=2))
        low, high = np.quantile(drawn, (0.025, 0.975))
        value = exponent(tokens, np.median(centers, axis=1))
        time[kind] = Estimate(value, float(low), float(high))
    macs = {kind: exponent(tokens, [count.macs[kind] for count in counts]) for kind in KINDS}
    shortest = {
        kind: exponent(tokens, [count.latencies[kind].latency_min_ms for count in counts])
        for kind in KINDS
    }
    return Growth((tokens[0], tokens[-1]), macs, time, shortest)


def _slopes(tokens, costs):
    """Slopes along axis 0 of `costs`, `(sizes, ...)`."""
    x = np.log(tokens) - np.log(tokens).mean()
    return np.tensordot(x, np.log(costs), 1) / (x @ x)


def whole_model_macs(config: CAREConfig, sides: Sequence[int]) -> list[dict[str, int]]:
    """Multiply-accumulates of a whole classifier at each size, by kind of attention.

    Softmax attention's two products take `2 N^2 C` in place of `2 N C head_dim`;
    all else is the same.
    """
    from care_keras.models.complexity import complexity
    from care_keras.models.factories import build_model

    model = build_model(config)
    head_dims = {f"stage{i + 1}": size for i, size in enumerate(config.head_dims)}
    result = []
    for side in sides:
        counts = complexity(model, (side, side))
        softmax = sum(
            part.attention_macs * part.height * part.width // head_dims[part.name]
            for part in counts.parts
            if part.attention_macs
        )
        result.append(
            {
                "linear": counts.macs,
                "softmax": counts.conv_dense_macs + softmax,
            }
        )
    return result


def work_table(counts: Sequence[TokenCount], whole: Sequence[dict[str, int]]) -> str:
    """Multiply-accumulates at each size, of attention alone and of the whole model with it."""
    rows = []
    for count, model in zip(counts, whole, strict=True):
        attention = [f"{count.macs[kind] / 1e6:.3f}" for kind in KINDS]
        rows.append(
            [count.side, count.tokens, *attention, *(f"{model[kind] / 1e9:.3f}" for kind in KINDS)]
        )
    headers = ["pixels", "tokens", "linear MMACs", "softmax MMACs", "model GMACs", "with softmax"]
    return format_table(headers, rows)


def time_table(counts: Sequence[TokenCount]) -> str:
    """Time at each size."""
    rows = []
    for count in counts:
        row = [count.side, count.tokens]
        for kind in KINDS:
            median = count.latencies[kind].latency_median_ms
            row += [f"{count.latencies[kind].latency_min_ms:.3f}", f"{median.value:.3f}"]
            row.append(interval(median, 3))
        ratio = count.ratio
        rows.append([*row, f"{ratio.value:.2f}x", interval(ratio, 2)])
    headers = ["pixels", "tokens", "linear min", "median ms", "95 % interval"]
    headers += ["softmax min", "median ms", "95 % interval", "ratio", "95 % interval"]
    return format_table(headers, rows)


def growth_table(fit: Growth) -> str:
    """The exponents."""
    rows = []
    for kind in KINDS:
        time = fit.time[kind]
        shortest = f"{fit.shortest_time[kind]:.2f}"
        rows.append(
            [kind, f"{fit.macs[kind]:.3f}", f"{time.value:.2f}", interval(time, 2), shortest]
        )
    headers = ["attention", "exponent of MACs", "of time", "95 % interval", "of shortest time"]
    return format_table(headers, rows)
