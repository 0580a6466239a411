"""Biases that take back what rounding and clipping add on average.

Empirical bias correction of Nagel et al., "Data-Free Quantization Through
Weight Equalization and Bias Correction" (ICCV 2019, section 4.2): of each
channel the mean in the quantized network is made that of the float network,
layer by layer, each behind layers that are corrected already.
"""

import contextlib
from collections import Counter

import keras
import numpy as np
from keras import ops

from care_keras.graph import unfold
from care_keras.quantization.fake_quant import FakeQuant
from care_keras.quantization.kernel_layers import QuantizedKernel


def correct_biases(model: keras.Model, inputs: list[np.ndarray]) -> dict[str, float]:
    """Changes the biases of a quantized form whose ranges are chosen.

    Args:
        model: The form.
        inputs: An array for each of its inputs, of examples like those of its use.

    Returns:
        By layer, the root mean square over its channels of what was added, in
        units of the output's standard deviation.
    """
    graph, expected = unfold(model), {}
    calls = Counter(step.operation for step in graph.steps)
    # A bias that several calls share has no one mean.
    layers = {
        one for one, count in calls.items() if isinstance(one, QuantizedKernel) and count == 1
    }

    def run_float(layer, *args, **kwargs):
        if isinstance(layer, FakeQuant):
            return args[0]
        if layer not in layers:
            return layer(*args, **kwargs)
        with _changed(layer, rounds=False, activation="linear"):
            outputs = layer(*args, **kwargs)
        expected[layer] = _means(outputs)
        return layer.activate(outputs)

    def run_quantized(layer, *args, **kwargs):
        if layer not in layers:
            return layer(*args, **kwargs)
        with _changed(layer, activation="linear"):
            outputs = layer(*args, **kwargs)
        difference = expected[layer] - _means(outputs)
        spread = float(ops.convert_to_numpy(ops.std(outputs))) or 1.0
        added[layer.name] = float(np.sqrt(np.mean(difference**2))) / spread
        layer.bias.assign(ops.convert_to_numpy(layer.bias) + difference)
        return layer(*args, **kwargs)

    added: dict[str, float] = {}
    for run in (run_float, run_quantized):
        graph.run([ops.convert_to_tensor(one) for one in inputs], run)
    return added


def _means(outputs):
    means = ops.mean(outputs, axis=tuple(range(len(outputs.shape) - 1)))
    return ops.convert_to_numpy(means)


@contextlib.contextmanager
def _changed(layer, **attributes):
    """A layer with other attributes for a while."""
    before = {name: getattr(layer, name) for name in attributes}
    for name, value in attributes.items():
        setattr(layer, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(layer, name, value)
