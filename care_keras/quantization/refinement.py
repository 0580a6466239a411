"""Ranges inside attention, chosen by the error of what attention gives."""

import keras
import numpy as np
from keras import ops

from care_keras import primitives as p
from care_keras.graph import inputs_of, unfold
from care_keras.quantization.fake_quant import FakeQuant
from care_keras.quantization.observer import affine_parameters

# Ends of a range that are tried, as parts of the largest value seen.
_PARTS = (1.0, 0.7, 0.5, 0.35, 0.25, 0.17, 0.12, 0.08, 0.05, 0.02, 0.01)
_LOW_PARTS = (1.0, 0.5, 0.25, 0.1)


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
        own = [layer for layer in inside if calls.count(layer) == inside.count(layer)]
        own = [layer for layer in own if layer.bits == 8]
        self.own = list(dict.fromkeys(own))

    def steps_behind(self, layer) -> list[tuple]:
        """The steps of `layer`, which may be shared, and those that they reach."""
        reached, behind = set(), []
        for step in self.steps:
            if step[0] is layer or reached & set(step[1]):
                reached.add(step[2])
                behind.append(step)
        return behind

    def run(self, values, parameters=None, steps=None) -> keras.KerasTensor:
        """Runs steps, all of them by default, and returns the segment's result.

        Args:
            values: Maps names to tensors; the outputs of the steps are added.
            parameters: Maps names of ranges to `(scale, zero_point)`; without
                it nothing is rounded.
            steps: From `steps_behind`.
        """
        for layer, sources, name in steps or self.steps:
            arguments = [values[source] for source in sources]
            if not isinstance(layer, FakeQuant):
                result = layer.call(arguments if len(arguments) > 1 else arguments[0])
                values[name] = ops.stop_gradient(result)
            elif parameters is not None and layer.bits != 8:
                values[name] = layer.call(arguments[0])
            elif parameters is not None:
                values[name] = round_to_codes(arguments[0], *parameters[layer.name])
            else:
                values[name] = arguments[0]
        return values[self.result]

    def run_each(self, values, parameters, layer, candidates) -> keras.KerasTensor:
        """Results with each of several ranges of `layer`, one behind the other in the batch.

        One operation on all is faster by far than as many operations.

        Args:
            values: From `run`; they stay as they are.
            parameters: Those of the other ranges.
            layer: The range to try others of.
            candidates: Their `(scale, zero_point)`.
        """
        steps = self.steps_behind(layer)
        own = {name for _, _, name in steps}
        repeated = {
            source: ops.concatenate([values[source]] * len(candidates))
            for source in {source for _, sources, _ in steps for source in sources} - own
        }
        images = len(values[self.start])
        columns = (
            np.repeat(np.asarray(column, np.float32), images)
            for column in zip(*candidates, strict=True)
        )
        return self.run(repeated, parameters | {layer.name: tuple(columns)}, steps)


def _output(layer, sources):
    """Name of what a layer gives; a range gives its input rounded."""
    return f"{sources[0]}/rounded" if isinstance(layer, FakeQuant) else layer.name


def find_attention(model) -> list[AttentionSegment]:
    """Every attention of a quantized form."""
    steps = []

    def record(layer, *args, **_):
        sources = inputs_of(args)
        steps.append((layer, sources))
        return _output(layer, sources)

    unfold(model).run([tensor.name for tensor in model.inputs], record)
    ends = [step for step in steps if isinstance(step[0], p.UnflattenPixels)]
    segments = [AttentionSegment(steps, end) for end in ends]
    # Of pixels that come from elsewhere than the map of their shape there is nothing to choose.
    return [segment for segment in segments if segment.own]


def refine(segment: AttentionSegment, inputs: np.ndarray, sweeps: int = 2) -> tuple[float, float]:
    """Chooses the segment's ranges one after the other by the error of its result.

    Args:
        segment: An attention; its ranges are changed.
        inputs: Its input in the float network, `(images, height, width,
            channels)`.
        sweeps: How often each is chosen: the best range of one tensor depends
            on those of the others.

    Returns:
        Mean squared error of the result before and after, in units of the
        result's own mean square.
    """
    values = {segment.start: ops.convert_to_tensor(inputs)}
    reference = segment.run(values)
    power = float(ops.mean(reference**2))
    ranges = [step for step in segment.steps if isinstance(step[0], FakeQuant)]
    limits = {
        layer.name: _limits(values[sources[0]], layer.symmetric) for layer, sources, _ in ranges
    }
    # In NumPy: reading a layer's variables takes longer than what is computed with them.
    parameters = {layer.name: layer.parameters() for layer, _, _ in ranges}

    def errors(results):
        results = ops.reshape(results, (-1, *reference.shape))
        squares = (results - reference) ** 2
        return ops.mean(squares, axis=tuple(range(1, len(squares.shape)))) / power

    before = best = float(errors(segment.run(values, parameters))[0])
    chosen = {layer: layer.range() for layer in segment.own}
    # From all that was seen the search may find what it does not from ranges that cut off much.
    whole = {layer: limits[layer.name] for layer in segment.own}
    of_whole = parameters | {
        layer.name: affine_parameters(*ends, layer.symmetric) for layer, ends in whole.items()
    }
    values_of_whole = dict(values)
    error = float(errors(segment.run(values_of_whole, of_whole))[0])
    if error < best:
        best, chosen, parameters, values = error, whole, of_whole, values_of_whole
    for _ in range(sweeps):
        for layer in segment.own:
            name, symmetric = layer.name, layer.symmetric
            # One end follows from the other, or is 0 and stays so.
            ends = ("high",) if symmetric or limits[name][0] == 0.0 else ("high", "low")
            for end in ends:
                candidates = _candidates(end, chosen[layer], limits[name], symmetric)
                tried = [affine_parameters(*candidate, symmetric) for candidate in candidates]
                found = errors(segment.run_each(values, parameters, layer, tried))
                found = ops.convert_to_numpy(found)
                if found.min() < best:
                    best, chosen[layer] = float(found.min()), candidates[found.argmin()]
                    parameters[name] = tried[found.argmin()]
            segment.run(values, parameters, segment.steps_behind(layer))
    for layer, limits_of_range in chosen.items():
        layer.set_range(*limits_of_range)
    return before, best


def _candidates(end, chosen, limits, symmetric):
    """Ranges that differ from the chosen one in one end."""
    if symmetric:
        return [_as_float32(part * limits[0], part * limits[1]) for part in _PARTS]
    if end == "high":
        return [_as_float32(chosen[0], part * limits[1]) for part in _PARTS]
    return [_as_float32(part * limits[0], chosen[1]) for part in _LOW_PARTS]


def _as_float32(low, high):
    # As layers hold them: of other floats the zero point could round to another code.
    return float(np.float32(low)), float(np.float32(high))


def _limits(values, symmetric):
    """The whole range of some values, as a range of theirs would have it."""
    low, high = min(float(ops.min(values)), 0.0), max(float(ops.max(values)), 0.0)
    return (-max(-low, high), max(-low, high)) if symmetric else (low, high)


def round_to_codes(values, scale, zero_point) -> keras.KerasTensor:
    """Real values as int8 codes of these parameters hold them.

    Args:
        values: Tensor.
        scale: A number, or one for each image, `(images,)`.
        zero_point: Likewise.
    """
    if np.ndim(scale):
        shape = (-1, *[1] * (len(values.shape) - 1))
        scale, zero_point = (
            ops.convert_to_tensor(np.reshape(x, shape), "float32") for x in (scale, zero_point)
        )
    codes = ops.clip(ops.round(values / scale), -128.0 - zero_point, 127.0 - zero_point)
    return codes * scale
