"""Rounds a tensor to the int8 codes it will have, and lets gradients through."""

import keras
from keras import ops

from care_keras.quantization.config import TRAINING_RANGES
from care_keras.quantization.observer import affine_parameters


@keras.saving.register_keras_serializable(package="care_keras")
class FakeQuant(keras.layers.Layer):
    """`real -> code -> real` of an int8 tensor, with straight-through gradients.

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
        **kwargs,
    ):
        super().__init__(**kwargs)
        if training_ranges not in TRAINING_RANGES:
            raise ValueError(
                f"`training_ranges` must be one of {TRAINING_RANGES}. "
                f"Received: training_ranges={training_ranges!r}"
            )
        self.symmetric = symmetric
        self.training_ranges = training_ranges
        self.momentum = momentum
        self.relative = relative
        self.fixed = None if fixed is None else (float(fixed[0]), int(fixed[1]))

    def build(self, _):
        if self.fixed is not None:
            return
        # Ranges that were never calibrated are those of TensorFlow's fake_quant.
        self.low = self._scalar("low", -6.0, trainable=False)
        self.high = self._scalar("high", 6.0, trainable=False)
        learned = self.training_ranges == "learned"
        # A symmetric range follows from its positive end.
        self.low_factor = self._scalar("low_factor", 1.0, trainable=learned and not self.symmetric)
        self.high_factor = self._scalar("high_factor", 1.0, trainable=learned)

    def _scalar(self, name, value, trainable):
        return self.add_weight(
            name=name,
            shape=(),
            initializer=keras.initializers.Constant(value),
            trainable=trainable,
            dtype="float32",
        )

    def set_range(self, low: float, high: float) -> None:
        """Sets the range; 0 lies in it."""
        self.low.assign(min(low, 0.0))
        # The negative end follows from the positive one.
        self.high.assign(max(-low, high) if self.symmetric else max(high, 0.0))
        self.low_factor.assign(1.0)
        self.high_factor.assign(1.0)

    def range(self) -> tuple[float, float]:
        """The `(low, high)` in use; for a symmetric range both ends of it."""
        if self.fixed is not None:
            return self._fixed_range()
        return tuple(float(ops.convert_to_numpy(end)) for end in self._range())

    def parameters(self) -> tuple:
        """`(scale, zero_point)` as a .tflite file has them: float32 and int."""
        if self.fixed is not None:
            return affine_parameters(*self._fixed_range(), symmetric=False)
        low, high = self.range()
        return affine_parameters(high if self.symmetric else low, high, self.symmetric)

    def _fixed_range(self):
        scale, zero_point = self.fixed
        return (-128 - zero_point) * scale, (127 - zero_point) * scale

    def _range(self):
        low = self.low * ops.maximum(self.low_factor, 0.0)
        high = self.high * ops.maximum(self.high_factor, 0.0)
        if self.symmetric:
            low = -high * (128.0 / 127.0)
        return low, high

    def call(self, inputs, training=None):
        if self.fixed is not None:
            scale, zero_point = self.parameters()
            low, high = self._fixed_range()
        else:
            if training and self.training_ranges == "moving_average":
                self._update(inputs)
            low, high = self._range()
            # As `affine_parameters` has it.
            scale = ops.maximum((high - low) / 255.0, 1e-6)
            scale = ops.where(high > low, scale, 1.0 / 128.0)
            zero_point = 0.0 if self.symmetric else ops.round(-128.0 - low / scale)
            # The ends as the codes have them; their gradients are those of the range.
            low = low + ops.stop_gradient((-128.0 - zero_point) * scale - low)
            high = high + ops.stop_gradient((127.0 - zero_point) * scale - high)
            scale = ops.stop_gradient(scale)
        clipped = ops.minimum(ops.maximum(inputs, low), high)
        rounded = ops.round(clipped / scale) * scale
        return clipped + ops.stop_gradient(rounded - clipped)

    def _update(self, inputs):
        for end, seen in ((self.low, ops.min(inputs)), (self.high, ops.max(inputs))):
            limit = ops.minimum(seen, 0.0) if end is self.low else ops.maximum(seen, 0.0)
            limit = ops.stop_gradient(ops.cast(limit, "float32"))
            end.assign(self.momentum * end + (1.0 - self.momentum) * limit)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "symmetric": self.symmetric,
            "training_ranges": self.training_ranges,
            "momentum": self.momentum,
            "relative": self.relative,
            "fixed": self.fixed,
        }
