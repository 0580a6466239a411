"""Int8: fake quantization of a deploy form, calibration, and training with it."""

from care_keras.quantization.calibration import calibrate
from care_keras.quantization.config import (
    QuantizationConfig,
    int8_ptq,
    int8_qat,
    layer_overrides,
)
from care_keras.quantization.fake_quant import FakeQuant
from care_keras.quantization.freeze import freeze
from care_keras.quantization.quantize import is_quantized, quantize

__all__ = [
    "FakeQuant",
    "QuantizationConfig",
    "calibrate",
    "freeze",
    "int8_ptq",
    "int8_qat",
    "is_quantized",
    "layer_overrides",
    "quantize",
]
