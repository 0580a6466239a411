"""What calibration remembers of a tensor, and the range it makes of it."""

import numpy as np

from care_keras.quantization.config import QuantizationConfig

# Narrower than the steps of a range that a few far values have been cut off.
_BINS = 32768
# Values of one batch that are counted, at most; the smallest and largest are always those of all.
_COUNTED = 4_000_000
# Values that a range of least relative errors is chosen by, at most.
_KEPT = 200_000


class Observer:
    """A histogram of all values seen, on bins that widen as larger ones come.

    Zeros are left out: they are exact in every range.

    Args:
        config: How ranges are chosen.
        relative: Whether `"mse"` means squares of relative errors, as it must
            of what is divided by: there a small value counts as much as a
            large one.
        covers: Whether a few tiny values may not rule out a range for the
            others, as of what a root is taken of: what is cut off there gives
            an inverse that is too large. Of inverses it may be cut off, as
            they are of next to nothing.
    """

    def __init__(self, config: QuantizationConfig, relative: bool = False, covers: bool = False):
        self._config = config
        self._relative = relative
        self._covers = covers
        self._kept = []
        self._counts = np.zeros(_BINS, np.int64)
        self._limit = 0.0
        self._low = self._high = 0.0
        self._average = None

    def observe(self, values: np.ndarray) -> None:
        """Adds a batch of values.

        Raises:
            ValueError: If one is not finite.
        """
        low, high = float(values.min()), float(values.max())
        if not np.isfinite(low) or not np.isfinite(high):
            raise ValueError("There are values that are not finite")
        self._low, self._high = min(low, self._low), max(high, self._high)
        if self._average is None:
            self._average = np.asarray([low, high])
        momentum = self._config.momentum
        self._average = momentum * self._average + (1.0 - momentum) * np.asarray([low, high])
        self._widen(max(-low, high))
        if self._relative:
            self._kept.append(values[values != 0.0].ravel())
        if self._limit:
            self._count(_thinned(values))

    def _count(self, values):
        values = values[values != 0.0]
        bins = ((values + self._limit) * (_BINS / (2.0 * self._limit))).astype(np.int32)
        self._counts += np.bincount(np.clip(bins, 0, _BINS - 1), minlength=_BINS)

    def _widen(self, largest):
        if largest and not self._limit:
            self._limit = largest
        while self._limit < largest:
            # Two bins become one; the old range is the middle half of the new one.
            merged = self._counts.reshape(-1, 2).sum(axis=1)
            self._counts = np.pad(merged, _BINS // 4)
            self._limit *= 2.0

    def range(self, symmetric: bool) -> tuple[float, float]:
        """The `(low, high)` that the configuration asks for; 0 lies in it.

        Args:
            symmetric: Whether the codes will be symmetric around 0.
        """
        kind = self._config.observer
        if kind == "moving_average" and self._average is not None:
            low, high = self._average
        elif kind == "percentile":
            low, high = self._percentiles()
        elif kind == "mse" and self._relative:
            low, high = self._least_relative_squares(symmetric)
        elif kind == "mse":
            low, high = self._least_squares(symmetric)
        else:
            low, high = self._low, self._high
        return min(float(low), 0.0), max(float(high), 0.0)

    def _edges(self):
        return np.linspace(-self._limit, self._limit, _BINS + 1)

    def _percentiles(self):
        total = self._counts.sum()
        if not total:
            return self._low, self._high
        outside = (1.0 - self._config.percentile / 100.0) / 2.0 * total
        cumulative = np.cumsum(self._counts)
        edges = self._edges()
        low = edges[np.searchsorted(cumulative, outside)]
        high = edges[np.searchsorted(cumulative, total - outside) + 1]
        return max(low, self._low), min(high, self._high)

    def _least_squares(self, symmetric):
        seen = np.nonzero(self._counts)[0]
        edges = self._edges()
        centers = ((edges[1:] + edges[:-1]) / 2.0)[seen]
        counts = self._counts[seen]
        if not len(seen):
            return self._low, self._high

        def error(low, high):
            scale, zero_point = affine_parameters(low, high, symmetric)
            codes = np.clip(np.rint(centers / scale) + zero_point, -128, 127)
            return float(np.sum(counts * ((codes - zero_point) * scale - centers) ** 2))

        if symmetric:
            largest = max(-self._low, self._high)
            high = min(_shrunk(largest), key=lambda limit: error(-limit, limit))
            return -high, high
        low, high = self._low, self._high
        # One end after the other, twice: each depends little on the other.
        for _ in range(2):
            high = min(_shrunk(self._high), key=lambda limit: error(low, limit))
            low = min(_shrunk(self._low), key=lambda limit: error(limit, high))
        return low, high

    def _least_relative_squares(self, symmetric):
        values = np.concatenate(self._kept) if self._kept else np.zeros(0)
        if not len(values):
            return self._low, self._high
        values = np.sort(values)[:: len(values) // _KEPT + 1]

        def error(high):
            scale, zero_point = affine_parameters(low, high, symmetric)
            codes = np.clip(np.rint(values / scale) + zero_point, -128, 127)
            return float(np.sum(((codes - zero_point) * scale / values - 1.0) ** 2))

        low = min(self._low, 0.0)
        # What is 0 has an inverse beyond all others.
        largest = min(self._high, 1e4 * float(np.abs(values).min()))
        limits = np.geomspace(1.0, 1e-4, 160) * largest
        if self._covers and largest < self._high:
            limits = np.concatenate([np.geomspace(largest, self._high, 160), limits])
        high = min(limits, key=error)
        return low, high


def _thinned(values):
    """Every n-th value of a large tensor, of all its channels alike."""
    step = values.size // _COUNTED + 1
    while np.gcd(step, values.shape[-1] if values.ndim else 1) > 1:
        step += 1
    return values.ravel()[::step]


def _shrunk(limit):
    """Candidates for one end of a range, from all of it down to a twentieth."""
    return limit * np.geomspace(1.0, 0.05, 32) if limit else [0.0]


def affine_parameters(
    low: float, high: float, symmetric: bool, bits: int = 8
) -> tuple[np.float32, int]:
    """The step and zero point of signed codes for a range.

    Args:
        low: Smallest real value, at most 0.
        high: Largest, at least 0.
        symmetric: Whether the code of 0 is 0: the range is then that of the
            larger end, `[-128, 127]` steps of 8 bits.
        bits: Of a code.

    Returns:
        `(scale, zero_point)`, the scale in float32 as files store it.
    """
    least, most = code_limits(bits)
    smallest = smallest_step(bits)
    if low == high == 0.0:
        # Always 0: any step will do that kernels can multiply and divide others by.
        return np.float32(-1 / least), 0 if symmetric else least
    if symmetric:
        return np.float32(max(low / least, high / most, smallest)), 0
    scale = np.float32(max((high - low) / (most - least), smallest))
    return scale, int(np.clip(np.rint(least - low / float(scale)), least, most))


def code_limits(bits: int) -> tuple[int, int]:
    """Smallest and largest signed code: -128 and 127 of 8 bits."""
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def smallest_step(bits: int) -> float:
    """Of a range that is nearly nothing: kernels divide by steps."""
    return 1e-6 * 2.0 ** (8 - bits)
