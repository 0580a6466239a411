"""The SNR of the output that lost most, and how far two files' differ beyond chance."""

from collections.abc import Mapping
from typing import Self

import numpy as np

from care_keras.metrics import bootstrap_interval


class WorstSNR:
    """Of a file's outputs, by photo.

    Args:
        outputs: By name, of shape `(photos, ...)`.
        reference: What they should be, alike.
    """

    def __init__(self, outputs: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]):
        self._noise = np.stack([_power(outputs[name] - one) for name, one in reference.items()])
        self._signal = np.stack([_power(one) for one in reference.values()])

    def value(self, draws: np.ndarray | None = None) -> float:
        """In dB: infinite without noise, NaN of outputs that are 0 throughout.

        Args:
            draws: How often each photo counts, `(photos,)`; once by default.
        """
        draws = np.ones(self._noise.shape[1]) if draws is None else draws
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = 10.0 * np.log10((self._signal @ draws) / (self._noise @ draws))
        return float(np.min(ratios))

    def interval_above(self, other: Self) -> tuple[float, float] | None:
        """95 % interval of how many dB it is above that of another file, on the same photos.

        `None` where one has no noise at all, or there is no signal.
        """
        if not np.isfinite(self.value()) or not np.isfinite(other.value()):
            return None
        photos = self._noise.shape[1]
        return bootstrap_interval(lambda draws: self.value(draws) - other.value(draws), photos)


def _power(values):
    squares = np.square(values.astype(np.float64))
    return squares.reshape(len(squares), -1).sum(axis=1)
