"""quantize(): from the deploy form to the quantized form."""

import fnmatch

import keras
import numpy as np

from care_keras.deploy.pixels import (
    fold_pixels,
    folds_pixels,
    pixel_records,
    with_normalization,
)
from care_keras.graph import input_structure, unfold
from care_keras.primitives.base import Primitive
from care_keras.primitives.deploy_model import DeployModel
from care_keras.primitives.folding import array
from care_keras.primitives.int8 import Fixed, Output

# Its classes take their places in the table of primitives.
from care_keras.quantization import kernel_layers  # noqa: F401
from care_keras.quantization.config import QuantizationConfig, int8_ptq
from care_keras.quantization.fake_quant import FakeQuant
from care_keras.quantization.kernel_layers import KernelSteps

_PIXELS = (1.0, -128)


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
        A `DeployModel`. Its images are pixels from 0 to 255 if
        `config.raw_pixels` and `model` knows their preprocessing.

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
            "Operations have no int8 form: they are no primitives, or divisions by a tensor, "
            f"which `fuse` leaves with rewrites off. Received: {describe_operations(lacking)}"
        )
    return _Quantization(model, config or int8_ptq()).run()


def without_int8(model: DeployModel) -> list[keras.Operation]:
    """What of a deploy form has no int8 form, in the order it runs."""
    foreign = model.foreign_operations
    return [
        operation
        for operation in model.operations
        if operation in foreign
        or (isinstance(operation, Primitive) and operation.int8.output is Output.NONE)
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
        # `(scale, zero_point)` of tensors whose codes nothing changes.
        self.fixed = {}

    def find(self, name):
        while (parent := self._parents.get(name, name)) != name:
            name = parent
        return name

    def join(self, first, second):
        first, second = self.find(first), self.find(second)
        # The earlier tensor gives the group its name.
        self._parents[second] = first

    def fixed_of(self, name):
        """The codes that nothing changes of the group of `name`, or `None`."""
        found = (
            codes for member, codes in self.fixed.items() if self.find(member) == self.find(name)
        )
        return next(found, None)

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
        # Of the inputs that become pixels, by name, how those became what the network takes.
        self._records = {}
        if config.raw_pixels:
            self._model = model = with_normalization(model)
            self._records = pixel_records(model)
        # Their records by the id of the `_Tensor`, which lives as long as `run` does.
        self._images = {}
        self._fake_quants = {}
        self._groups = _Groups()
        self._precisions = find_precisions(model, config.overrides)
        # Precisions that each layer's output is read in.
        self._read_in = {}
        # By a layer and the place of an input: whose range the input is rounded to before.
        self._rounded_again = {}

    def run(self):
        model = self._model
        names = [tensor.name for tensor in model.inputs]
        self._groups.fixed |= dict.fromkeys(self._records, _PIXELS)
        graph = unfold(model)
        graph.run(names, self._plan)
        inputs = [
            keras.Input(tensor.shape[1:], tensor.shape[0], tensor.dtype, name=tensor.name)
            for tensor in model.inputs
        ]
        quantized = [
            self._tensor(name, x, fixed=_PIXELS if name in self._records else None)
            for name, x in zip(names, inputs, strict=True)
        ]
        self._images = {
            id(x): self._records[name]
            for name, x in zip(names, quantized, strict=True)
            if name in self._records
        }
        outputs = graph.run(quantized, self._rebuild)
        outputs = keras.tree.map_structure(lambda tensor: tensor.native, outputs)
        structure = keras.tree.pack_sequence_as(input_structure(model), inputs)
        result = DeployModel(structure, outputs, name=f"{model.name}_int8").describe(model)
        result.precisions = self._precisions
        if self._records:
            result.preprocessing = model.preprocessing and model.preprocessing.taking_pixels()
            if len(names) > 1:
                result.input_preprocessing = {
                    name: record.taking_pixels() for name, record in self._records.items()
                }
        return result

    def _precision(self, name):
        return self._precisions.get(name, "int8")

    def _plan(self, layer, *args):
        """Runs the graph on names: which tensors share a range, which are symmetric."""
        first = args[0]
        sources = first if isinstance(first, list) else [first]
        for source in sources:
            self._read_in.setdefault(source, set()).add(self._precision(layer.name))
        int8 = layer.int8
        if isinstance(int8.output, Fixed):
            self._groups.fixed[layer.name] = (int8.output.scale, int8.output.zero_point)
        if int8.joins_inputs:
            self._join(layer, sources)
        elif layer.keeps_values:
            self._groups.join(sources[0], layer.name)
        for place in int8.symmetric_inputs:
            fixed = self._groups.fixed_of(sources[place])
            if fixed is None:
                self._groups.symmetric.add(sources[place])
            elif fixed[1] != 0:
                name = f"{layer.name}_input{place + 1}"
                self._groups.symmetric.add(name)
                self._rounded_again[layer.name, place] = name
        if int8.relative:
            self._groups.relative |= {*sources, layer.name}
        return layer.name

    def _join(self, layer, sources):
        """Makes inputs and output of a layer share a range, but for inputs whose codes are fixed.

        Unless all are fixed alike, those are rounded to the others' range before.
        """
        fixed = [self._groups.fixed_of(name) for name in sources]
        if len(set(fixed)) > 1:
            free = [name for name, codes in zip(sources, fixed, strict=True) if codes is None]
            for place, codes in enumerate(fixed):
                if codes is not None:
                    self._rounded_again[layer.name, place] = layer.name
        else:
            free = sources
        for name in free[1:]:
            self._groups.join(free[0], name)
        if free:
            self._groups.join(free[0], layer.name)

    def _read(self, layer, args, precision):
        """The arguments of a layer as it reads them."""
        values = keras.tree.map_structure(lambda x: x.read(precision), args)
        if precision != "int8":
            return values
        first = list(values[0]) if isinstance(values[0], list) else [values[0]]
        for place, value in enumerate(first):
            name = self._rounded_again.get((layer.name, place))
            if name is not None:
                first[place] = self._fake_quant(name)(value)
        return [first if isinstance(values[0], list) else first[0], *values[1:]]

    def _rebuild(self, layer, *args):
        precision = self._precision(layer.name)
        if layer.int8.left_out and precision != "float32":
            return args[0]
        kind = type(layer) if precision == "float32" else type(layer).quantized()
        settings = layer.get_config()
        if self._config.per_tensor_weights and issubclass(kind, KernelSteps):
            settings["per_tensor"] = True
        copy = kind.from_config(settings)
        given = self._read(layer, args, precision)
        layer.check_integers(x.dtype for x in keras.tree.flatten(given))
        outputs = copy(*given)
        weights = [array(weight) for weight in layer.weights]
        record = self._images.get(id(args[0]))
        if record is not None and folds_pixels(record, layer):
            weights = fold_pixels(record, layer)
        for variable, value in zip(copy.weights, weights, strict=False):
            variable.assign(np.asarray(value, np.float32))
        output = layer.int8.output
        fixed = (output.scale, output.zero_point) if isinstance(output, Fixed) else None
        rounded = layer.int8.interpolates or not layer.keeps_values
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
        if values.dtype == "int32":
            return _Tensor(values, precision, {})
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
    layers = [layer for layer in model.layers if isinstance(layer, Primitive)]
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
            if precision == "int16" and precision not in layer.int8.precisions:
                raise ValueError(
                    f"{type(layer).__name__} has no 16-bit form: choose 'float32' for "
                    f"{layer.name!r}. Received: overrides={{{pattern!r}: {precision!r}}}"
                )
            precisions.setdefault(layer.name, precision)
    graph = unfold(model)
    for step in graph.steps:
        layer = step.operation
        if precisions.get(layer.name) == "float32" and layer.int8.shares_float:
            precisions[graph.producers[step.inputs[0]].operation.name] = "float32"
    return precisions
