"""Ranges inside attention, chosen by the error of what attention gives."""

import keras
import numpy as np

from care_keras.deploy import primitives as p
from care_keras.quantization.fake_quant import FakeQuant
from care_keras.quantization.observer import affine_parameters

# Ends of a range that are tried, as parts of the largest value seen.
_PARTS = (1.0, 0.7, 0.5, 0.35, 0.25, 0.17, 0.12, 0.08, 0.05, 0.02, 0.01)
_LOW_PARTS = (1.0, 0.5, 0.25, 0.1)
# The best range of one tensor depends on those of the others.
_SWEEPS = 2


class AttentionSegment:
    """The layers from an attention's input to its output, to be run alone.

    Attention normalizes: a token's query may be small or large and count the
    same in the end. What of a range matters, then, does not show in the tensor
    itself, but in the quotient.

    Args:
        steps: `(layer, names of its inputs)` in the order they run, of the
            whole model.
        end: The `UnflattenPixels` step: its inputs are the result and the
            tensor that attention started from.
    """

    def __init__(self, steps, end):
        (self.result, self.start) = end[1]
        needed, inside = {self.result}, {self.start}
        for layer, sources in steps:
            if inside & set(sources):
                inside.add(_output(layer, sources))
        self.steps = []
        for layer, sources in reversed(steps):
            name = _output(layer, sources)
            if name in needed and name in inside and name != self.start:
                self.steps.append((layer, sources, name))
                needed |= set(sources)
        self.steps.reverse()

        calls = [layer for layer, _ in steps if isinstance(layer, FakeQuant)]
        inside = [layer for layer, _, _ in self.steps if isinstance(layer, FakeQuant)]
        # A range that a tensor elsewhere shares is not attention's to choose.
        self.own = [layer for layer in inside if calls.count(layer) == inside.count(layer)]

    def steps_behind(self, index):
        """The step at `index` and those that its output reaches."""
        reached = {self.steps[index][2]}
        behind = [self.steps[index]]
        for step in self.steps[index + 1 :]:
            if reached & set(step[1]):
                reached.add(step[2])
                behind.append(step)
        return behind

    def run(self, values, parameters=None, steps=None):
        """Runs steps, all of them by default, and returns the segment's result.

        Args:
            values: Maps names to arrays; the outputs of the steps are added.
            parameters: Maps names of ranges to `(scale, zero_point)`; without
                it nothing is rounded.
            steps: From `steps_behind`.
        """
        for layer, sources, name in steps or self.steps:
            arguments = [values[source] for source in sources]
            if not isinstance(layer, FakeQuant):
                arguments = [keras.ops.convert_to_tensor(argument) for argument in arguments]
                result = layer.call(arguments if len(arguments) > 1 else arguments[0])
                values[name] = keras.ops.convert_to_numpy(result)
            elif parameters is not None:
                values[name] = round_to_codes(arguments[0], *parameters[layer.name])
            else:
                values[name] = arguments[0]
        return values[self.result]


def _output(layer, sources):
    """Name of what a layer gives; a range gives its input rounded."""
    return f"{sources[0]}/rounded" if isinstance(layer, FakeQuant) else layer.name


def find_attention(model) -> list[AttentionSegment]:
    """Every attention of a quantized form."""
    steps = []

    def record(layer, *args, **_):
        sources = args[0] if isinstance(args[0], list) else [args[0]]
        steps.append((layer, list(sources)))
        return _output(layer, sources)

    model._run_through_graph(["images"], call_fn=record)
    return [
        AttentionSegment(steps, step) for step in steps if isinstance(step[0], p.UnflattenPixels)
    ]


def refine(segment: AttentionSegment, inputs: np.ndarray) -> tuple[float, float]:
    """Chooses the segment's ranges one after the other by the error of its result.

    Args:
        segment: An attention; its ranges are changed.
        inputs: Its input in the float network, `(images, height, width,
            channels)`.

    Returns:
        Mean squared error of the result before and after, in units of the
        result's own mean square.
    """
    values = {segment.start: inputs}
    reference = segment.run(values)
    power = float(np.mean(reference**2))
    ranges = [step for step in segment.steps if isinstance(step[0], FakeQuant)]
    limits = {layer.name: _limits(values[sources[0]]) for layer, sources, _ in ranges}
    # In NumPy: reading a layer's variables takes longer than what is computed with them.
    parameters = {layer.name: layer.parameters() for layer, _, _ in ranges}

    def error(steps=None):
        return float(np.mean((segment.run(values, parameters, steps) - reference) ** 2)) / power

    before = best = error()
    chosen = {layer: layer.range() for layer in segment.own}
    for _ in range(_SWEEPS):
        for index, (layer, _, _) in enumerate(segment.steps):
            if layer not in chosen:
                continue
            behind = segment.steps_behind(index)
            for candidate in _candidates(chosen[layer], limits[layer.name], layer.symmetric):
                parameters[layer.name] = affine_parameters(*candidate, layer.symmetric)
                if (found := error(behind)) < best:
                    best, chosen[layer] = found, candidate
            parameters[layer.name] = affine_parameters(*chosen[layer], layer.symmetric)
            error(behind)
    for layer, limits_of_range in chosen.items():
        layer.set_range(*limits_of_range)
    return before, best


def _candidates(chosen, limits, symmetric):
    """Ranges that differ from the chosen one in one end."""
    if symmetric:
        largest = max(-limits[0], limits[1])
        return [(-part * largest, part * largest) for part in _PARTS]
    highs = [(chosen[0], part * limits[1]) for part in _PARTS]
    return highs + [(part * limits[0], chosen[1]) for part in _LOW_PARTS if limits[0] < 0.0]


def _limits(values):
    return min(float(values.min()), 0.0), max(float(values.max()), 0.0)


def round_to_codes(values: np.ndarray, scale: np.float32, zero_point: int) -> np.ndarray:
    """Real values as int8 codes of these parameters hold them."""
    codes = np.rint(values / scale) + np.float32(zero_point)
    return (np.clip(codes, -128, 127) - np.float32(zero_point)) * scale
