"""What int8 products are multiplied by, to become codes of their output."""

import numpy as np

from care_keras.tflite_file.writer import TensorHandle

# XNNPACK's convolutions (tflite/delegates/xnnpack/xnnpack_delegate.cc).
_BOUND = 2.0**8


def check_multiplier(
    name: str, x: TensorHandle, kernel_steps: np.ndarray, output: TensorHandle
) -> None:
    """Refuses an int8 output whose range XNNPACK has no multiplier for.

    LiteRT 2.3 fails to open such a file, or ends the process.

    Args:
        name: Of the layer.
        x: Its input.
        kernel_steps: Of the kernel, one or one for each channel.
        output: Its output.

    Raises:
        ValueError: If the range is too narrow.
    """
    largest = float(np.max(x.quantization.scale * kernel_steps / output.quantization.scale))
    if largest >= _BOUND and output.dtype == np.int8:
        raise ValueError(
            "The int8 range of an output is too narrow for its inputs and kernel: "
            "calibrate with images that use it. "
            f"Received: a multiplier of {largest:.3g} at the layer {name!r}"
        )
