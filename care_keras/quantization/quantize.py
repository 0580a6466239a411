"""quantize(): from the deploy form to the quantized form."""

import dataclasses
import fnmatch

import keras
import numpy as np

from care_keras import primitives as p
from care_keras.graph import unfold
from care_keras.primitives.deploy_model import DeployModel
from care_keras.primitives.folding import array, fold_affine_before_conv
from care_keras.quantization.config import QuantizationConfig, int8_ptq
from care_keras.quantization.fake_quant import FakeQuant
from care_keras.quantization.kernel_layers import QUANTIZED
from care_keras.quantization.kernels import rsqrt_codes

# Layers whose output holds numbers of their input, so that both have one range.
KEEPS_VALUES = (
    p.ChannelSlice,
    p.Concatenate,
    p.FlattenPixels,
    p.HeadMask,
    p.RepeatHeads,
    p.SqueezePixels,
    p.Transpose,
    p.UnflattenPixels,
)
# SOFTMAX's int8 kernel has this output and no other.
_SOFTMAX = (1 / 256, -128)
_PIXELS = (1.0, -128)
# Layers that TFLite has a kernel of 16-bit activations for.
_HAS_INT16 = (
    p.Add,
    p.ChannelSlice,
    p.Concatenate,
    p.Conv2D,
    p.DepthwiseConv2D,
    p.FlattenPixels,
    p.MatMul,
    p.Mean,
    p.SqueezePixels,
    p.Subtract,
    p.Transpose,
    p.UnflattenPixels,
)
# Step of a sum's term, at least, in steps of the sum: 2^-10 with room for rounding.
_LEAST_TERM = 1.0 / 1000.0
# How far a root's range is stretched at most, and in what steps, until no code lies at a tie: most
# are found in one or two steps, and a hundredth of them moves the largest code by a half.
_LARGEST_STRETCH, _STRETCH = 2e-2, 1e-4
# Of a code: RSQRT's kernel rounds the root to 2^-20 of the root of one step first.
_TIE = 2e-3


def quantize(model: DeployModel, config: QuantizationConfig | None = None) -> DeployModel:
    """The quantized form of a deploy form: the same graph between roundings to int8.

    Every kernel is rounded to int8 with a step for each output channel, every
    bias to int32, and a `FakeQuant` stands behind every operation that computes
    something new. Tensors that operations merely slice, join or reshape share
    one range, so that the file needs no conversion between them; what enters a
    matrix product on the right has a zero point of 0, as its int8 kernel asks.
    Call `calibrate` before anything else.

    Layers that `config.overrides` names compute in float32 or 16 bits; the
    tensors between them and int8 layers are converted.

    Args:
        model: A deploy form, left as it is.
        config: How ranges are found; `int8_ptq()` by default.

    Returns:
        A `DeployModel`. Its input are pixels from 0 to 255 if
        `config.raw_pixels` and `model` knows its preprocessing.

    Raises:
        ValueError: If `model` is no deploy form, is quantized already, has
            operations that have no int8 form (all are named), or `config.overrides` name no
            layer of it, or one that has no 16-bit form.
    """
    if not isinstance(model, DeployModel):
        raise ValueError(
            "Only a deploy form can be quantized: call care_keras.deploy.fuse first. "
            f"Received: model={model.name!r} of {type(model).__name__}"
        )
    if is_quantized(model):
        raise ValueError(f"The model is quantized already. Received: model={model.name!r}")
    lacking = without_int8(model)
    if lacking:
        raise ValueError(
            "Operations have no int8 form: a model that is to be quantized has CARE's layers "
            f"alone, and is fused with all rewrites on. Received: {describe_operations(lacking)}"
        )
    return _Quantization(model, config or int8_ptq()).run()


def without_int8(model: DeployModel) -> list[keras.Operation]:
    """What of a deploy form has no int8 form, in the order it runs."""
    foreign = model.foreign_operations
    return [
        operation
        for operation in model.operations
        if operation in foreign or isinstance(operation, (p.Divide, p.ChannelAffine))
    ]


def describe_operations(operations: list[keras.Operation]) -> str:
    """Names and classes for a message: `"'dense' (Dense), 'drop' (Dropout)"`."""
    return ", ".join(f"{one.name!r} ({type(one).__name__})" for one in operations)


def is_quantized(model: keras.Model) -> bool:
    """Whether a model is a quantized form."""
    return isinstance(model, DeployModel) and any(
        isinstance(layer, FakeQuant) for layer in model.layers
    )


class _Groups:
    """Tensors, by the names of the layers they come from, in groups of one range."""

    def __init__(self):
        self._parents = {}
        self.symmetric = set()
        self.relative = set()

    def find(self, name):
        while (parent := self._parents.get(name, name)) != name:
            name = parent
        return name

    def join(self, first, second):
        first, second = self.find(first), self.find(second)
        # The earlier tensor gives the group its name.
        self._parents[second] = first

    def has(self, name, members):
        """Whether the group of `name` has one of `members`."""
        return self.find(name) in {self.find(member) for member in members}


class _Tensor:
    """What a layer gives, in the forms that its readers take.

    Args:
        native: The symbolic tensor in the precision of the layer.
        precision: That precision.
        forms: Symbolic tensors by precision; what is missing is `native`.
    """

    def __init__(self, native, precision, forms):
        self.native = forms.get(precision, native)
        self._forms = forms

    def read(self, precision):
        return self._forms.get(precision, self.native)


class _Quantization:
    def __init__(self, model, config):
        self._model = model
        self._config = config
        self._fold_pixels = config.raw_pixels and model.preprocessing is not None
        self._fake_quants = {}
        self._groups = _Groups()
        self._precisions = find_precisions(model, config.overrides)
        # Precisions that each layer's output is read in.
        self._read_in = {}

    def run(self):
        model = self._model
        names = [tensor.name for tensor in model.inputs]
        graph = unfold(model)
        graph.run(names, self._plan)
        inputs = [
            keras.Input(tensor.shape[1:], tensor.shape[0], tensor.dtype, name=tensor.name)
            for tensor in model.inputs
        ]
        quantized = [
            self._tensor(name, x, fixed=_PIXELS if self._fold_pixels else None)
            for name, x in zip(names, inputs, strict=True)
        ]
        self._image = quantized[0]
        outputs = graph.run(quantized, self._rebuild)
        outputs = keras.tree.map_structure(lambda tensor: tensor.native, outputs)
        structure = inputs[0] if len(inputs) == 1 else inputs
        result = DeployModel(structure, outputs, name=f"{model.name}_int8").describe(model)
        result.min_image_size = model.min_image_size
        result.precisions = self._precisions
        if self._fold_pixels:
            result.preprocessing = dataclasses.replace(
                model.preprocessing, mean=(0.0,) * 3, std=(1 / 255,) * 3
            )
        return result

    def _precision(self, name):
        return self._precisions.get(name, "int8")

    def _plan(self, layer, *args):
        """Runs the graph on names: which tensors share a range, which are symmetric."""
        first = args[0]
        sources = first if isinstance(first, list) else [first]
        for source in sources:
            self._read_in.setdefault(source, set()).add(self._precision(layer.name))
        if isinstance(layer, p.Concatenate):
            for name in first[1:]:
                self._groups.join(first[0], name)
        if isinstance(layer, (*KEEPS_VALUES, p.AddEpsilon)):
            self._groups.join(sources[0], layer.name)
        if isinstance(layer, p.MatMul):
            self._groups.symmetric.add(first[1])
        if isinstance(layer, p.Rsqrt):
            self._groups.relative |= {first, layer.name}
        return layer.name

    def _rebuild(self, layer, *args):
        precision = self._precision(layer.name)
        if isinstance(layer, p.AddEpsilon) and precision != "float32":
            return args[0]
        kind = type(layer) if precision == "float32" else QUANTIZED.get(type(layer), type(layer))
        copy = kind.from_config(layer.get_config())
        outputs = copy(*keras.tree.map_structure(lambda x: x.read(precision), args))
        weights = [array(weight) for weight in layer.weights]
        if self._fold_pixels and args[0] is self._image:
            weights = fold_affine_before_conv(*weights, *_normalization(self._model.preprocessing))
        for variable, value in zip(copy.weights, weights, strict=False):
            variable.assign(np.asarray(value, np.float32))
        fixed = _SOFTMAX if isinstance(layer, p.Softmax) else None
        rounded = not isinstance(layer, KEEPS_VALUES)
        return self._tensor(layer.name, outputs, precision, rounded, fixed)

    def _tensor(self, name, values, precision="int8", rounded=True, fixed=None):
        """Wraps what a layer gives, rounded as its readers take it.

        Args:
            name: Of the layer.
            values: What it gives.
            precision: That it computes in.
            rounded: Whether it gives new numbers, not some of its input's.
            fixed: `(scale, zero_point)` of its int8 codes, if nothing changes them.
        """
        read_in = self._read_in.get(name, set())
        forms = {}
        if precision == "int8":
            forms["int8"] = self._fake_quant(name, fixed)(values) if rounded else values
        source = forms.get("int8", values)
        if precision == "int16" and not rounded:
            forms["int16"] = values
        elif precision == "int16" or "int16" in read_in:
            forms["int16"] = source = self._fake_quant(name, bits=16)(source)
        if precision != "int8" and "int8" in read_in:
            forms["int8"] = self._fake_quant(name, fixed)(source)
        return _Tensor(values, precision, forms)

    def _fake_quant(self, name, fixed=None, bits=8):
        """The layer of a tensor's group."""
        group = self._groups.find(name)
        key = group if bits == 8 else f"{group}_{bits}_bits"
        if key not in self._fake_quants:
            self._fake_quants[key] = FakeQuant(
                symmetric=bits == 16 or self._groups.has(name, self._groups.symmetric),
                relative=bits == 8 and self._groups.has(name, self._groups.relative),
                training_ranges=self._config.training_ranges,
                momentum=self._config.momentum,
                fixed=fixed if bits == 8 else None,
                bits=bits,
                name=f"{key}_range",
                dtype="float32",
            )
        return self._fake_quants[key]


def find_precisions(model: keras.Model, overrides: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Layers that do not compute in int8, and what they compute in.

    Args:
        model: A deploy form.
        overrides: Of a `QuantizationConfig`.

    Raises:
        ValueError: If a pattern names no layer, or one that has no 16-bit form.
    """
    layers = [layer for layer in model.layers if _is_primitive(layer)]
    precisions = {}
    for pattern, precision in overrides:
        named = [layer for layer in layers if fnmatch.fnmatchcase(layer.name, pattern)]
        if not named:
            examples = ", ".join(repr(layer.name) for layer in layers[:: len(layers) // 3 + 1])
            raise ValueError(
                f"The pattern names no layer; there are {examples} and others. "
                f"Received: overrides={{{pattern!r}: {precision!r}}}"
            )
        for layer in named:
            if precision == "int16" and not isinstance(layer, _HAS_INT16):
                raise ValueError(
                    f"{type(layer).__name__} has no 16-bit form: choose 'float32' for "
                    f"{layer.name!r}. Received: overrides={{{pattern!r}: {precision!r}}}"
                )
            precisions.setdefault(layer.name, precision)
    graph = unfold(model)
    for step in graph.steps:
        # In float32 its input can be 0, which only codes are safe from.
        root = isinstance(step.operation, p.Rsqrt)
        if root and precisions.get(step.operation.name) == "float32":
            precisions[graph.producers[step.inputs[0]].operation.name] = "float32"
    return precisions


def _is_primitive(layer):
    return type(layer).__module__.startswith(p.__name__)


def _normalization(record):
    mean, std = np.asarray(record.mean), np.asarray(record.std)
    return 1.0 / (255.0 * std), -mean / std


def freeze(model: keras.Model) -> None:
    """Tells every layer the step of its input, which its int32 bias is counted in.

    Calibration does it, and so must whoever has trained the ranges since.
    """
    _coarsen_small_terms(model)
    _settle_roots(model)

    def step_of(layer, *args, **_):
        first = args[0][0] if isinstance(args[0], (list, tuple)) else args[0]
        if isinstance(layer, FakeQuant):
            return float(layer.parameters()[0])
        if hasattr(layer, "input_step"):
            layer.input_step.assign(first)
        return first

    unfold(model).run([None] * len(model.inputs), step_of)


@dataclasses.dataclass(frozen=True)
class _Sum:
    """What ADD or SUB gives, before its range."""

    terms: list[FakeQuant]


def _coarsen_small_terms(model):
    """Widens the range of a term that is below a thousandth of its sum.

    XNNPACK's int8 ADD takes terms of at least 2^-10 of the sum's step
    (TFLite's tflite/delegates/xnnpack/xnnpack_delegate.cc); a smaller one would
    run ten times slower in TFLite's own kernel, and split the partition, to add
    nothing.
    """
    sums = []

    def record(layer, *args, **_):
        if isinstance(layer, FakeQuant):
            if isinstance(args[0], _Sum):
                sums.append((layer, args[0].terms))
            return layer
        if isinstance(layer, (p.Add, p.Subtract)) and layer.name not in model.precisions:
            return _Sum(args[0])
        return args[0][0] if isinstance(args[0], list) else args[0]

    unfold(model).run([None] * len(model.inputs), record)
    # From the last one back: a term may be a sum itself.
    for layer, terms in reversed(sums):
        least = float(layer.parameters()[0]) * _LEAST_TERM
        for term in terms:
            if term.fixed is not None or term is layer:
                continue
            if float(term.parameters()[0]) < least:
                low, high = term.range()
                width = high - low
                # A term that is always 0 has a step, and no range to widen.
                low, high = (low / width, high / width) if width else (0.0, 1.0)
                term.set_range(low * 255.0 * least, high * 255.0 * least)


@dataclasses.dataclass(frozen=True)
class _Root:
    """What RSQRT gives, before its range."""

    source: FakeQuant


def _settle_roots(model):
    """Stretches each root's range a little, until its int8 kernel rounds as the form does.

    The kernel works on integers and is off where a root lies at a tie between two codes.
    """
    roots = []

    def record(layer, *args, **_):
        first = args[0][0] if isinstance(args[0], list) else args[0]
        if isinstance(layer, FakeQuant):
            if isinstance(first, _Root) and layer.bits == 8 and isinstance(first.source, FakeQuant):
                roots.append((first.source, layer))
            return layer
        return _Root(first) if isinstance(layer, p.Rsqrt) else first

    unfold(model).run([None] * len(model.inputs), record)
    for source, root in roots:
        low, high = root.range()
        for stretch in np.arange(0.0, _LARGEST_STRETCH, _STRETCH):
            # The range that is there already comes first: what is settled stays as it is.
            if stretch:
                root.set_range(low * (1.0 + stretch), high * (1.0 + stretch))
            if _rounds_as_kernel(source.parameters(), root.parameters()):
                break
        else:
            root.set_range(low, high)


def _rounds_as_kernel(source, root):
    """Whether RSQRT's kernel and real arithmetic give the same codes, none of them at a tie."""
    (source_scale, source_zero), (scale, zero) = source, root
    steps = np.arange(1, 128 - source_zero)
    exact = 1.0 / np.sqrt(steps * np.float64(source_scale)) / np.float64(scale) + zero
    ties = np.abs(exact - np.floor(exact) - 0.5) < _TIE
    codes = rsqrt_codes(source_scale, source_zero, scale, zero)[steps + source_zero + 128]
    inside = exact < 127.0
    return not ties[inside].any() and np.array_equal(codes, np.clip(np.rint(exact), -128, 127))
