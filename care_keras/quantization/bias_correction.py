"""Biases that take back what rounding and clipping add on average.

Empirical bias correction of Nagel et al., "Data-Free Quantization Through
Weight Equalization and Bias Correction" (ICCV 2019, section 4.2): of each
channel the mean in the quantized network is made that of the float network,
layer by layer, each behind layers that are corrected already.
"""

import contextlib
import dataclasses
from collections import Counter

import keras
import numpy as np
from keras import ops

from care_keras.graph import unfold
from care_keras.quantization.fake_quant import FakeQuant
from care_keras.quantization.kernel_layers import QuantizedKernel

# Values of the input that are computed with at once: 3 images of 224x224.
_PART_VALUES = 3 * 224 * 224 * 3


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
    examples = max(1, _PART_VALUES // max(one[0].size for one in inputs))
    # A bias that several calls share has no one mean.
    layers = {
        one for one, count in calls.items() if isinstance(one, QuantizedKernel) and count == 1
    }

    def run_float(layer, *args, **kwargs):
        if isinstance(layer, FakeQuant):
            return args[0]
        if layer not in layers:
            return _call(layer, args, kwargs)
        with _changed(layer, rounds=False, activation="linear"):
            outputs = _call(layer, args, kwargs)
        expected[layer] = _mean(outputs)
        return _call(layer.activate, [outputs], {})

    def run_quantized(layer, *args, **kwargs):
        if layer not in layers:
            return _call(layer, args, kwargs)
        with _changed(layer, activation="linear"):
            outputs = _call(layer, args, kwargs)
        difference = expected[layer] - _mean(outputs)
        spread = (
            float(np.mean([ops.convert_to_numpy(ops.std(one)) for one in outputs.tensors])) or 1.0
        )
        added[layer.name] = float(np.sqrt(np.mean(difference**2))) / spread
        layer.bias.assign(ops.convert_to_numpy(layer.bias) + difference)
        return _call(layer, args, kwargs)

    added: dict[str, float] = {}
    for run in (run_float, run_quantized):
        graph.run([_cut(one, examples) for one in inputs], run)
    return added


@dataclasses.dataclass(frozen=True)
class _Parts:
    """A tensor cut along its examples: what a layer needs for a moment, it needs of one part."""

    tensors: tuple


def _cut(array, examples):
    starts = range(0, len(array), examples)
    return _Parts(tuple(ops.convert_to_tensor(array[one : one + examples]) for one in starts))


def _call(layer, args, kwargs):
    """Calls a layer for each part of its arguments."""
    given = [one for one in keras.tree.flatten((args, kwargs)) if isinstance(one, _Parts)]
    is_kernel, results = isinstance(layer, QuantizedKernel), []
    with layer.rounded_once() if is_kernel else contextlib.nullcontext():
        for place in range(len(given[0].tensors)):
            own, named = keras.tree.map_structure(
                lambda one, place=place: one.tensors[place] if isinstance(one, _Parts) else one,
                (args, kwargs),
            )
            results.append(layer(*own, **named))
    return keras.tree.map_structure(lambda *tensors: _Parts(tensors), *results)


def _mean(outputs):
    """Of each channel, over all parts."""
    axes = tuple(range(len(outputs.tensors[0].shape) - 1))
    means = [ops.convert_to_numpy(ops.mean(one, axis=axes)) for one in outputs.tensors]
    if len(means) == 1:
        return means[0]
    return np.average(means, axis=0, weights=[len(one) for one in outputs.tensors]).astype(
        np.float32
    )


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
