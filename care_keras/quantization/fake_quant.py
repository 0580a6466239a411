"""Rounds a tensor to the integer codes it will have, and lets gradients through."""

import keras
import numpy as np
from keras import ops

from care_keras.primitives.base import Primitive
from care_keras.quantization.config import TRAINING_RANGES
from care_keras.quantization.observer import affine_parameters, code_limits, smallest_step
from care_keras.quantization.straight_through import straight_through
from care_keras.quantization.traced import traced_once


@keras.saving.register_keras_serializable(package="care_keras")
class FakeQuant(Primitive):
    """`real -> code -> real` of an int8 or int16 tensor, with straight-through gradients.

    One layer is called on every tensor that shares its range. The range is
    that of calibration, `[low, high]`, each end times a factor that training
    may learn: relative steps, whatever the tensor's magnitude. As in
    TensorFlow's fake_quant_with_min_max_vars, the gradient of a value inside
    the range is passed on, and that of one outside goes to the end it met.

    Args:
        symmetric: Whether the code of 0 is 0, as int8 kernels want it of some
            tensors.
        training_ranges: `"learned"`, `"moving_average"` or `"frozen"`.
        momentum: Of the moving average.
        relative: Whether calibration weighs relative errors, as of a divisor.
        fixed: A `(scale, zero_point)` that nothing changes, or `None`.
        bits: Of a code, 8 or 16; those of 16 are symmetric.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input and output shape: any.
    """

    def __init__(
        self,
        symmetric: bool = False,
        training_ranges: str = "frozen",
        momentum: float = 0.9,
        relative: bool = False,
        fixed=None,
        bits: int = 8,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if training_ranges not in TRAINING_RANGES:
            raise ValueError(
                f"`training_ranges` must be one of {TRAINING_RANGES}. "
                f"Received: training_ranges={training_ranges!r}"
            )
        if bits not in (8, 16) or (bits == 16 and not symmetric):
            raise ValueError(
                "A code has 8 bits, or 16 and is symmetric. "
                f"Received: bits={bits}, symmetric={symmetric}"
            )
        self.symmetric = symmetric
        self.bits = bits
        self._least, self._most = code_limits(bits)
        self.training_ranges = training_ranges
        self.momentum = momentum
        self.relative = relative
        self.fixed = None if fixed is None else (float(fixed[0]), int(fixed[1]))

    def build(self, _) -> None:
        if self.fixed is not None:
            return
        # Two weights, not four: a network has a thousand of these layers.
        # Ranges that were never calibrated are those of TensorFlow's fake_quant.
        self.limits = self.add_weight(
            name="limits",
            shape=(2,),
            initializer=lambda shape, dtype: ops.convert_to_tensor([-6.0, 6.0], dtype),
            trainable=False,
            dtype="float32",
        )
        self.factors = self.add_weight(
            name="factors",
            shape=(2,),
            initializer="ones",
            trainable=self.training_ranges == "learned",
            dtype="float32",
        )

    def set_range(self, low: float, high: float) -> None:
        """Sets the range; 0 lies in it."""
        # The negative end of a symmetric range follows from the positive one.
        high = max(high, low / self._least * self._most if self.symmetric else 0.0)
        self.limits.assign(np.asarray([min(low, 0.0), high], np.float32))
        self.factors.assign(np.ones(2, np.float32))

    def range(self) -> tuple[float, float]:
        """The `(low, high)` in use; for a symmetric range both ends of it."""
        if self.fixed is not None:
            return self._fixed_range()
        limits, factors = (ops.convert_to_numpy(x) for x in (self.limits, self.factors))
        low, high = (limits * np.maximum(factors, np.float32(0.0))).tolist()
        return (high / self._most * self._least if self.symmetric else low), high

    def parameters(self) -> tuple:
        """`(scale, zero_point)` as a .tflite file has them: float32 and int."""
        if self.fixed is not None:
            return affine_parameters(*self._fixed_range(), symmetric=False)
        low, high = self.range()
        return affine_parameters(high if self.symmetric else low, high, self.symmetric, self.bits)

    def _fixed_range(self):
        scale, zero_point = self.fixed
        return (self._least - zero_point) * scale, (self._most - zero_point) * scale

    def call(self, inputs, training=None) -> keras.KerasTensor:
        if self.fixed is not None:
            scale, _ = self.parameters()
            return _rounded(inputs, *self._fixed_range(), scale)
        if training and self.training_ranges == "moving_average":
            self._update(inputs)
        ends = self.limits, self.factors
        return traced_once(
            _rounded_to_range, inputs, *ends, symmetric=self.symmetric, bits=self.bits
        )

    def _update(self, inputs):
        low, high = ops.minimum(ops.min(inputs), 0.0), ops.maximum(ops.max(inputs), 0.0)
        seen = ops.stop_gradient(ops.cast(ops.stack([low, high]), "float32"))
        self.limits.assign(self.momentum * self.limits + (1.0 - self.momentum) * seen)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "symmetric": self.symmetric,
            "training_ranges": self.training_ranges,
            "momentum": self.momentum,
            "relative": self.relative,
            "fixed": self.fixed,
            "bits": self.bits,
        }


def _rounded_to_range(inputs, limits, factors, symmetric, bits):
    least, most = code_limits(bits)
    ends = limits * ops.maximum(factors, 0.0)
    low, high = ends[0], ends[1]
    if symmetric:
        low = high * (least / most)
    # As `affine_parameters` has it.
    scale = ops.maximum((high - low) / (most - least), smallest_step(bits))
    scale = ops.where(high > low, scale, -1.0 / least)
    zero_point = 0.0 if symmetric else ops.round(least - low / scale)
    # The ends as the codes have them; their gradients are those of the range.
    low = straight_through(low, (least - zero_point) * scale)
    high = straight_through(high, (most - zero_point) * scale)
    return _rounded(inputs, low, high, ops.stop_gradient(scale))


def _rounded(inputs, low, high, scale):
    clipped = ops.minimum(ops.maximum(inputs, low), high)
    return straight_through(clipped, ops.round(clipped / scale) * scale)
