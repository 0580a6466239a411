"""Statistics of latencies that were taken in rounds.

Inferences of one round share the state of the machine, so a round is what is
drawn in a bootstrap, never a single inference: intervals then say how far
another run of as many rounds may land.

Source: B. Efron, "Bootstrap methods: another look at the jackknife", Annals of
Statistics 7 (1979); percentile intervals, with rounds as the units.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

# Of fewer rounds the interval reaches from the least to the greatest, and holds the median of all
# in 1 - 2**(1 - rounds) of cases: 75 % of three, 87.5 % of four; five have 93.8 %.
FEWEST_ROUNDS = 5
_RESAMPLES = 2000
_TAILS = (0.025, 0.975)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def typical(centers: Sequence[float], generator: np.random.Generator) -> Estimate:
    """Median over rounds of each round's own center.

    Args:
        centers: One figure per round.
        generator: Source of the draws.
    """
    centers = np.asarray(centers, float)
    return _estimate(np.median(centers), np.median(_drawn(centers, generator), axis=1))


def quantiles(
    rounds: Sequence[np.ndarray], shares: Sequence[float], generator: np.random.Generator
) -> list[Estimate]:
    """Quantiles over the inferences of all rounds.

    Args:
        rounds: The inferences of each round, `(inferences,)`.
        shares: Quantiles to take, 0 to 1.
        generator: Source of the draws.
    """
    values = np.quantile(np.concatenate(rounds), shares)
    # Fewer draws: each is a sort of thousands of inferences.
    draws = generator.integers(0, len(rounds), (_RESAMPLES // 4, len(rounds)))
    drawn = [np.quantile(np.concatenate([rounds[i] for i in draw]), shares) for draw in draws]
    return [_estimate(*pair) for pair in zip(values, np.transpose(drawn), strict=True)]


def paired_ratio(
    centers: Sequence[float], reference: Sequence[float], generator: np.random.Generator
) -> Estimate:
    """Median of the ratios that the rounds give, one each.

    A drift of the machine that is slower than a round hits both sides of a
    round's ratio and cancels.

    Raises:
        ValueError: If one has more rounds than the other.
    """
    if len(centers) != len(reference):
        raise ValueError(
            "A paired ratio needs as many rounds of both. "
            f"Received: {len(centers)} and {len(reference)} rounds"
        )
    return typical(np.asarray(centers, float) / np.asarray(reference, float), generator)


def unpaired_ratio(
    centers: Sequence[float], reference: Sequence[float], generator: np.random.Generator
) -> Estimate:
    """Ratio of the medians of two runs that were not interleaved."""
    new, old = np.asarray(centers, float), np.asarray(reference, float)
    medians = [np.median(_drawn(values, generator), axis=1) for values in (new, old)]
    return _estimate(np.median(new) / np.median(old), medians[0] / medians[1])


def _drawn(values, generator):
    """Resamples of one figure per round: `(resamples, rounds)`."""
    return values[generator.integers(0, len(values), (_RESAMPLES, len(values)))]


def _estimate(value, drawn):
    low, high = np.quantile(drawn, _TAILS)
    return Estimate(float(value), float(low), float(high))
