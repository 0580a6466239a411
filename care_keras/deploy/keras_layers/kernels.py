"""Kernels of layers that `keras.Model.quantize` may have made codes of."""

import numpy as np

from care_keras.deploy.lowering import NoPrimitiveError
from care_keras.primitives.folding import array


def float_kernel(layer) -> np.ndarray:
    """The kernel of a product as float64; codes are multiplied out.

    What Keras rounds of a layer's inputs while it computes is left out.

    Args:
        layer: `Dense`, or an `EinsumDense` whose kernel has the axes that are
            summed over first.

    Raises:
        NoPrimitiveError: If it is quantized in a way that is not known here.
    """
    kernel, mode = array(layer.kernel), layer.quantization_mode
    # In float8 the kernel itself stays as it was.
    if mode in (None, "float8"):
        return kernel
    if mode not in ("int8", "int4"):
        raise NoPrimitiveError(f"Keras has quantized it to {mode}")
    learned = 0.0
    if layer.lora_enabled:
        learned = array(layer.lora_kernel_a) @ array(layer.lora_kernel_b)
        learned *= layer.lora_alpha / layer.lora_rank
    codes, scale = kernel - learned, array(layer.kernel_scale)
    zero = getattr(layer, "kernel_zero", None)
    if zero is None:
        numbers = codes.reshape(-1, scale.size) / scale.reshape(-1)
    else:
        # Rows by the group that they are in.
        groups = array(layer.g_idx).astype(int)
        numbers = (codes.reshape(len(groups), -1) - array(zero)[groups]) * scale[groups]
    return numbers.reshape(kernel.shape) + learned
