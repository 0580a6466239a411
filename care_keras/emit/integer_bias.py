"""The bias of an int8 product, counted in the steps of its input and its kernel."""

import numpy as np

from care_keras.tflite_file.writer import Quantization, TensorHandle, Writer

# XNNPACK's convolutions (tflite/delegates/xnnpack/xnnpack_delegate.cc).
_LEAST_BAD_MULTIPLIER = 2.0**8


def integer_bias(
    writer: Writer,
    name: str,
    bias: np.ndarray,
    x: TensorHandle,
    kernel_steps: np.ndarray,
    output: TensorHandle,
) -> TensorHandle:
    """A bias counted in steps of the input times steps of the kernel.

    It is int32, and int64 where the input is int16.

    Args:
        writer: Of the file.
        name: Of the layer.
        bias: As numbers, one for each channel.
        x: The layer's input.
        kernel_steps: Of the kernel, one or one for each channel.
        output: The layer's output.

    Raises:
        ValueError: If one is too large for that, or the output's range is so narrow
            that XNNPACK cannot turn the products into its codes.
    """
    steps = x.quantization.scale * kernel_steps
    _check_multiplier(name, steps, output)
    codes = np.rint(np.asarray(bias, np.float64) / steps)
    dtype = np.int64 if x.dtype == np.int16 else np.int32
    if np.abs(codes).max() >= 2.0 ** (8 * dtype().itemsize - 1):
        raise ValueError(
            f"A bias does not fit into {8 * dtype().itemsize} bits: "
            "a kernel's channel is nearly zero. "
            f"Received: the layer {name!r}"
        )
    return writer.constant(
        f"{name}/bias", codes.astype(dtype), Quantization(steps.astype(np.float32))
    )


def _check_multiplier(name, steps, output):
    """LiteRT 2.3 fails to open a file with such an output, or ends the process."""
    largest = float(np.max(steps / output.quantization.scale))
    if largest >= _LEAST_BAD_MULTIPLIER and output.dtype == np.int8:
        raise ValueError(
            "The int8 range of an output is too narrow for its inputs and kernel: "
            "calibrate with images that use it. "
            f"Received: a multiplier of {largest:.3g} at the layer {name!r}"
        )
