"""Ranges of a quantized form, from images that are like those of its use."""

import dataclasses

import keras
import numpy as np

from care_keras.graph import inputs_of, unfold
from care_keras.quantization.bias_correction import correct_biases
from care_keras.quantization.config import QuantizationConfig, int8_ptq
from care_keras.quantization.fake_quant import FakeQuant
from care_keras.quantization.freeze import freeze
from care_keras.quantization.observer import Observer
from care_keras.quantization.refinement import find_attention, refine

# Images, and pixels of its map, that the ranges inside an attention are chosen with, at most.
_REFINEMENT_IMAGES = 16
_REFINEMENT_PIXELS = 1100
# Above this many attentions each range is chosen once, so that S0 takes no minute.
_TWICE_REFINED = 8
# Values of the input that biases are corrected with, about: 16 photos of 224x224.
_CORRECTION_VALUES = 1_250_000


def calibrate(
    model: keras.Model,
    batches,
    config: QuantizationConfig | None = None,
) -> dict[str, tuple[float, float]]:
    """Sets the ranges of every `FakeQuant` from what the float network computes.

    The network runs without rounding any activation; its kernels are those of
    the quantized form. Biases then take back what rounding adds on average.

    Args:
        model: A quantized form; its ranges and biases are changed.
        batches: Iterable of what `model` takes: arrays of shape `(images,
            height, width, 3)`; of several inputs lists of arrays, in their order.
        config: How ranges are chosen; `int8_ptq()` by default.

    Returns:
        The range of each `FakeQuant`, by name.

    Raises:
        ValueError: If there is no batch, or the network gives values that are
            not finite.
    """
    config = config or int8_ptq()
    divisors = _divisors(model)
    observers = {
        layer.name: (layer, Observer(_observed(config, layer), layer.relative, layer in divisors))
        for layer in model.layers
        if isinstance(layer, FakeQuant) and layer.fixed is None
    }

    segments = find_attention(model) if config.refine_attention else []
    # Nothing is rounded here, so that a rounded tensor is the one that it rounds.
    starts = {segment: segment.start.removesuffix("/rounded") for segment in segments}
    inputs = {start: [] for start in starts.values()}
    # What attention divides by differs by powers of ten from image to image: of many images the
    # least squares are those of a few, and too far from any good range to be refined.
    refined = {layer.name for segment in segments for layer in segment.own}

    def observe(layer, *args, **kwargs):
        if not isinstance(layer, FakeQuant):
            outputs = layer(*args, **kwargs)
            if layer.name in inputs and count < _REFINEMENT_IMAGES:
                inputs[layer.name].append(keras.ops.convert_to_numpy(outputs))
            return outputs
        if layer.name in observers and (layer.name not in refined or count < _REFINEMENT_IMAGES):
            try:
                observers[layer.name][1].observe(keras.ops.convert_to_numpy(args[0]))
            except ValueError as error:
                raise ValueError(f"{error}. Received: the input of {layer.name!r}") from error
        return args[0]

    graph, count, kept, kept_values = unfold(model), 0, [], 0
    for batch in batches:
        given = batch if isinstance(batch, (list, tuple)) else [batch]
        arrays = [np.asarray(one, np.float32) for one in given]
        if kept_values < _CORRECTION_VALUES:
            kept.append(arrays)
            kept_values += sum(one.size for one in arrays)
        graph.run([keras.ops.convert_to_tensor(one) for one in arrays], observe)
        count += len(arrays[0])
    if not count:
        raise ValueError("Calibration needs at least one image. Received: no batch")
    for layer, observer in observers.values():
        layer.set_range(*observer.range(layer.symmetric))
    freeze(model)
    for segment in segments:
        seen = np.concatenate(inputs[starts[segment]])
        images = min(_REFINEMENT_IMAGES, _REFINEMENT_PIXELS // int(np.prod(seen.shape[1:3])))
        refine(segment, seen[: max(images, 1)], sweeps=2 if len(segments) <= _TWICE_REFINED else 1)
    if config.correct_biases:
        freeze(model)
        correct_biases(model, [np.concatenate(one) for one in zip(*kept, strict=True)])
    freeze(model)
    return {name: layer.range() for name, (layer, _) in observers.items()}


def _divisors(model):
    """The ranges of what a root is taken of, where relative errors count."""
    found = set()

    def follow(layer, *args, **_):
        if isinstance(layer, FakeQuant):
            return layer
        source = inputs_of(args)[0]
        if layer.int8.relative:
            found.add(source)
        return source

    unfold(model).run([None] * len(model.inputs), follow)
    return found


def _observed(config, layer):
    """How a layer's range is chosen: of 16 bits, nothing is gained by cutting ends off."""
    return config if layer.bits == 8 else dataclasses.replace(config, observer="min_max")
