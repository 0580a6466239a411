"""How far a tensor of a file is from what Keras gives for it, summed up over images."""

import dataclasses
import math

import numpy as np

from care_keras.litert.tensor import TensorInfo
from care_keras.metrics import Difference, absolute_differences

# Errors of a float tensor are relative to its root mean square, but for one that holds next to
# nothing.
_LEAST_RMS = 1e-6
# Relative error that rounding may cause in a float tensor (seen: 1e-6).
_FLOAT_ROUNDING = 1e-5


@dataclasses.dataclass(frozen=True)
class Criterion:
    """When a layer counts as wrong: noise of less than `min_snr_db` that is more than rounding.

    Attributes:
        min_snr_db: Least signal-to-noise ratio of a layer, and of each channel
            (index on the last axis), in dB.
        layer_codes: Root-mean-square error of a quantized layer, in steps of its
            codes, that never counts as wrong.
        channel_codes: Likewise of one channel.
    """

    min_snr_db: float
    layer_codes: float
    channel_codes: float


@dataclasses.dataclass(frozen=True)
class Figures:
    """How a tensor of the file compares with a reference.

    A quantized tensor holds a rounded and clipped reference at best; what that
    costs is told apart from what is computed otherwise.

    Attributes:
        snr_db: Of what the tensor holds, against the reference as the tensor
            can hold it.
        rounding_snr_db: Of the reference as the tensor can hold it, against the
            reference; `None` for a float tensor.
        total_snr_db: Of what the tensor holds, against the reference.
        max_difference: Largest absolute difference from the reference, in real units.
        error: Root-mean-square error behind `snr_db`: in codes, or relative to
            a float tensor's root mean square.
        rounding_error: What `error` may come to by rounding alone.
        worst_channel: The channel that is worst, by SNR if its error is more than
            rounding, else by error.
        worst_channel_snr_db: Its `snr_db`.
        worst_channel_error: Its `error`.
        channels: How many there are.
        wrong_channels: How many of them are not right.
        codes_equal: Share of codes that are those of the reference, or `None`.
        max_code_difference: Largest difference in codes, or `None`.
        right: Whether the criterion holds.
        equal: Of plain integers, as of classes, the share that is the
            reference's. They have no noise: what is said of it above is that
            of ones where they are equal and zeros elsewhere, in one channel.
    """

    snr_db: float
    rounding_snr_db: float | None
    total_snr_db: float
    max_difference: float
    error: float
    rounding_error: float
    worst_channel: int
    worst_channel_snr_db: float
    worst_channel_error: float
    channels: int
    wrong_channels: int
    codes_equal: float | None
    max_code_difference: int | None
    right: bool
    equal: float | None = None


class Tally:
    """Sums over images; the last axis of a tensor are its channels.

    Args:
        info: The tensor of the file.
    """

    def __init__(self, info: TensorInfo):
        self._info = info
        self._signal = self._noise = self._elements = 0.0
        self._reference = self._rounding = self._total = 0.0
        self._max_difference, self._codes = 0.0, Difference()

    def add(self, reference: np.ndarray, content: np.ndarray) -> None:
        """Adds what Keras gives for some images, in real units, and what the tensor holds."""
        values, held = self._info.dequantize(content), reference
        if self._info.is_classes:
            values = (values == reference).astype(np.float32).reshape(-1, 1)
            held = reference = np.ones_like(values)
        if self._info.scale:
            codes = self._info.quantize(np.nan_to_num(reference))
            held = self._info.dequantize(codes)
            self._codes += Difference.of([(codes, content)])
            self._rounding += _power(held - reference).sum()
        self._signal = self._signal + _power(held)
        self._noise = self._noise + _power(values - held)
        self._elements = self._elements + reference.size / reference.shape[-1]
        self._reference += _power(reference).sum()
        self._total += _power(values - reference).sum()
        differences = absolute_differences(reference, values.astype(reference.dtype))
        self._max_difference = max(self._max_difference, float(differences.max(initial=0.0)))

    def figures(self, criterion: Criterion) -> Figures:
        """What has come together."""
        quantized = bool(self._info.scale)
        channels = len(self._noise)
        elements = self._elements * channels
        unit = self._info.scale or max(math.sqrt(self._reference / elements), _LEAST_RMS)
        snr, error = _decibel(self._signal.sum(), self._noise.sum()), self._noise.sum() / elements
        error = float(np.sqrt(error) / unit)
        errors = np.sqrt(self._noise / self._elements) / unit
        ratios = np.array([_decibel(*x) for x in zip(self._signal, self._noise, strict=True)])
        layer_limit, channel_limit = (
            (criterion.layer_codes, criterion.channel_codes)
            if quantized
            # A channel that is small beside the others may be as noisy as they are.
            else (0.0, 10.0 ** (-criterion.min_snr_db / 20.0))
        )
        noisy = errors > channel_limit
        wrong = noisy & (ratios < criterion.min_snr_db)
        worst = int(np.argmin(np.where(noisy, ratios, np.inf)) if noisy.any() else errors.argmax())
        return Figures(
            snr_db=snr,
            rounding_snr_db=_decibel(self._reference, self._rounding) if quantized else None,
            total_snr_db=_decibel(self._reference, self._total),
            max_difference=self._max_difference,
            error=error,
            rounding_error=layer_limit if quantized else _FLOAT_ROUNDING,
            worst_channel=worst,
            worst_channel_snr_db=float(ratios[worst]),
            worst_channel_error=float(errors[worst]),
            channels=channels,
            wrong_channels=int(wrong.sum()),
            codes_equal=self._codes.equal / elements if quantized else None,
            max_code_difference=self._codes.largest_codes,
            right=not ((snr < criterion.min_snr_db and error > layer_limit) or wrong.any()),
            equal=1.0 - self._total / elements if self._info.is_classes else None,
        )


def _power(values):
    """Sum of squares of each channel; infinite where a value is none."""
    squares = np.sum(values.reshape(-1, values.shape[-1]).astype(np.float64) ** 2, axis=0)
    return np.where(np.isnan(squares), np.inf, squares)


def _decibel(signal, noise):
    if noise == 0.0:
        return math.inf
    if not np.isfinite(noise) or signal == 0.0:
        return -math.inf
    return float(10.0 * np.log10(signal / noise))
