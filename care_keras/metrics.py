"""Figures that say how close two models' outputs are, and how right one is."""

import math

import numpy as np


def top1_agreement(outputs: np.ndarray, reference: np.ndarray) -> float:
    """Share of rows in which both pick the same class, 0 to 1."""
    return float(np.mean(np.argmax(outputs, axis=-1) == np.argmax(reference, axis=-1)))


def snr_db(outputs: np.ndarray, reference: np.ndarray) -> float:
    """Signal-to-noise ratio of `outputs`, in dB: infinite if they equal `reference`."""
    reference = reference.astype(np.float64)
    noise = float(np.sum((outputs - reference) ** 2))
    signal = float(np.sum(reference**2))
    if noise == 0.0:
        return float("inf")
    return float(10.0 * np.log10(signal / noise)) if signal else float("-inf")


def finite_or_none(value: float) -> float | None:
    """A figure for JSON, which has no infinity."""
    return value if math.isfinite(value) else None


def top_k(outputs: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of rows of `(samples, classes)` whose `k` largest entries hold the label's."""
    best = np.argpartition(-outputs, k - 1, axis=-1)[:, :k]
    return float(np.mean(np.any(best == labels[:, None], axis=-1)))


def wilson_interval(share: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a share seen in `count` trials; 95 % by default.

    Source: E. B. Wilson, "Probable inference, the law of succession, and
    statistical inference", JASA 22 (1927).
    """
    center = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return float(center - half), float(center + half)
