"""What `quantize` does to a model, and the recipes."""

import dataclasses
from collections.abc import Mapping

OBSERVERS = ("mse", "min_max", "percentile", "moving_average")
TRAINING_RANGES = ("learned", "moving_average", "frozen")
# What a layer can compute in instead of int8.
LAYER_PRECISIONS = ("float32", "int16")


@dataclasses.dataclass(frozen=True)
class QuantizationConfig:
    """How the quantized form gets its ranges.

    Attributes:
        observer: How calibration turns what it saw into a range: `"mse"`, the
            one of least squared error; `"min_max"`; `"percentile"`;
            `"moving_average"` of each batch's smallest and largest.
        percentile: Share of the values, in percent, that `"percentile"` keeps
            inside.
        refine_attention: Whether calibration then chooses the ranges inside
            attention by the error of its output.
        correct_biases: Whether calibration then makes the mean of each channel
            that of the float network.
        training_ranges: What training does to them: `"learned"` with the
            weights, `"moving_average"` of what it sees, or `"frozen"`.
        momentum: Of the moving averages.
        raw_pixels: Whether the quantized form takes pixels from 0 to 255: they
            are integers already, so that its input loses nothing, and the
            preprocessing moves into the stem.
        per_tensor_weights: Whether the kernel of a layer has one step, and not one
            for each output channel, for runtimes that refuse those.
        overrides: Pairs of a shell pattern of layer names and what those
            layers compute in instead of int8: `"float32"`, or `"int16"`, which
            is 16-bit activations and int8 kernels. The first that matches
            counts. `{"stem*": "float32"}` is taken too.

    Raises:
        ValueError: If an entry is none of these.
    """

    observer: str = "mse"
    percentile: float = 99.99
    refine_attention: bool = True
    correct_biases: bool = True
    training_ranges: str = "learned"
    momentum: float = 0.9
    raw_pixels: bool = True
    per_tensor_weights: bool = False
    overrides: tuple[tuple[str, str], ...] = ()

    def __post_init__(self):
        pairs = self.overrides.items() if isinstance(self.overrides, Mapping) else self.overrides
        object.__setattr__(self, "overrides", tuple((str(a), b) for a, b in pairs))
        for pattern, precision in self.overrides:
            if precision not in LAYER_PRECISIONS:
                raise ValueError(
                    f"A layer can compute in one of {LAYER_PRECISIONS} instead of int8. "
                    f"Received: overrides={{{pattern!r}: {precision!r}}}"
                )
        if self.observer not in OBSERVERS:
            raise ValueError(
                f"`observer` must be one of {OBSERVERS}. Received: observer={self.observer!r}"
            )
        if self.training_ranges not in TRAINING_RANGES:
            raise ValueError(
                f"`training_ranges` must be one of {TRAINING_RANGES}. "
                f"Received: training_ranges={self.training_ranges!r}"
            )
        if not 50.0 < self.percentile <= 100.0:
            raise ValueError(
                f"`percentile` must be in (50, 100]. Received: percentile={self.percentile}"
            )
        if not 0.0 <= self.momentum < 1.0:
            raise ValueError(f"`momentum` must be in [0, 1). Received: momentum={self.momentum}")


def layer_overrides(float_layers=(), int16_layers=()) -> tuple[tuple[str, str], ...]:
    """`QuantizationConfig.overrides` of two lists of shell patterns, as commands take them."""
    return (
        *((pattern, "float32") for pattern in float_layers),
        *((pattern, "int16") for pattern in int16_layers),
    )


def int8_ptq(observer: str = "mse", **kwargs) -> QuantizationConfig:
    """Post-training quantization: ranges from calibration, none of them trained."""
    return QuantizationConfig(observer=observer, training_ranges="frozen", **kwargs)


def int8_qat(observer: str = "mse", **kwargs) -> QuantizationConfig:
    """Quantization-aware training: ranges from calibration, then learned."""
    return QuantizationConfig(observer=observer, training_ranges="learned", **kwargs)
