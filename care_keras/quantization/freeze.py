"""What is settled of a quantized form once its ranges are known."""

import dataclasses

import keras
import numpy as np

from care_keras.graph import inputs_of, unfold
from care_keras.primitives.int8 import CodeFunction
from care_keras.quantization.fake_quant import FakeQuant

# How far a range is stretched at most, and in what steps, until no code lies at a tie: most are
# found in one or two steps, and a hundredth of them moves the largest code by a half.
_LARGEST_STRETCH, _STRETCH = 2e-2, 1e-4
# Of a code: RSQRT's kernel rounds the root to 2^-20 of the root of one step first.
_TIE = 2e-3


def freeze(model: keras.Model) -> None:
    """Makes ranges ones that int8 kernels take, and tells every layer the step of its input.

    That step is what a layer's int32 bias is counted in. Calibration does it, and so must
    whoever has trained the ranges since.
    """
    _settle_sums(model)
    _settle_functions(model)

    def step_of(layer, *args, **_):
        first = inputs_of(args)[0]
        if isinstance(layer, FakeQuant):
            return float(layer.parameters()[0])
        if hasattr(layer, "input_step"):
            layer.input_step.assign(first)
        return first

    unfold(model).run([None] * len(model.inputs), step_of)


@dataclasses.dataclass(frozen=True)
class _Sum:
    """What a sum gives, before its range."""

    terms: list[FakeQuant]
    term_steps: tuple[float, float]


def _settle_sums(model):
    """Widens the range of a sum, or of a term, where the step of one is too small for the other.

    A small term would run ten times slower in TFLite's own kernel, and split XNNPACK's partition,
    to add nothing; a small sum holds nothing but its ends, and ends the process.
    """
    sums = []

    def record(layer, *args, **_):
        if isinstance(layer, FakeQuant):
            if isinstance(args[0], _Sum):
                sums.append((layer, args[0]))
            return layer
        if layer.int8.term_steps and layer.name not in model.precisions:
            return _Sum(inputs_of(args), layer.int8.term_steps)
        return inputs_of(args)[0]

    unfold(model).run([None] * len(model.inputs), record)
    for layer, total in sums:
        _widen(layer, max(_step(term) for term in total.terms) / total.term_steps[1])
    # From the last one back: a term may be a sum itself.
    for layer, total in reversed(sums):
        for term in total.terms:
            if term is not layer:
                _widen(term, _step(layer) * total.term_steps[0])


def _step(layer):
    return float(layer.parameters()[0])


def _widen(layer, least):
    """Makes a range as wide as its step has to be, at least."""
    if layer.fixed is not None or _step(layer) >= least:
        return
    low, high = layer.range()
    width = high - low
    # What is always 0 has a step, and no range to widen.
    low, high = (low / width, high / width) if width else (0.0, 1.0)
    layer.set_range(low * 255.0 * least, high * 255.0 * least)


@dataclasses.dataclass(frozen=True)
class _Value:
    """What a function with an integer kernel of its own gives, before its range."""

    source: FakeQuant
    function: CodeFunction


def _settle_functions(model):
    """Stretches the range of each such output a little, until the kernel rounds as the form does.

    The kernel is off where a value lies at a tie between two codes.
    """
    found = []

    def record(layer, *args, **_):
        first = inputs_of(args)[0]
        if isinstance(layer, FakeQuant):
            of_codes = isinstance(first, _Value) and isinstance(first.source, FakeQuant)
            if of_codes and layer.bits == 8:
                found.append((first.source, first.function, layer))
            return layer
        function = layer.int8.function
        return first if function is None else _Value(first, function)

    unfold(model).run([None] * len(model.inputs), record)
    for source, function, output in found:
        low, high = output.range()
        for stretch in np.arange(0.0, _LARGEST_STRETCH, _STRETCH):
            # The range that is there already comes first: what is settled stays as it is.
            if stretch:
                output.set_range(low * (1.0 + stretch), high * (1.0 + stretch))
            if _rounds_as_kernel(function, source.parameters(), output.parameters()):
                break
        else:
            output.set_range(low, high)


def _rounds_as_kernel(function, source, output):
    """Whether a kernel and real arithmetic give the same codes, none of them at a tie."""
    (source_scale, source_zero), (scale, zero) = source, output
    steps = np.arange(1, 128 - source_zero)
    exact = function.exact(steps * np.float64(source_scale)) / np.float64(scale) + zero
    ties = np.abs(exact - np.floor(exact) - 0.5) < _TIE
    codes = function.codes(source_scale, source_zero, scale, zero)[steps + source_zero + 128]
    inside = exact < 127.0
    return not ties[inside].any() and np.array_equal(codes, np.clip(np.rint(exact), -128, 127))
