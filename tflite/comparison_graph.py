"""A Keras model as a flat list of calls, so that other values can be put in between them."""

import dataclasses
import functools
from collections.abc import Callable, Iterable

import keras
import numpy as np

from care_keras.quantization import FakeQuant

# How often a layer's call opens TensorFlow's name scope: Keras 2 once, Keras 3 twice (seen with
# Keras 3.15 and TensorFlow 2.21). The operations lie in the last one.
SCOPE_VISITS = (1, 2)
_LAYERS_WITH_ACTIVATION = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)


@dataclasses.dataclass(frozen=True)
class Ref:
    """Stands for the value of this number among a call's arguments."""

    index: int


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One call of an operation.

    Attributes:
        operation: What is called, mostly a layer.
        args: Its arguments with a `Ref` for each tensor.
        kwargs: Likewise.
        inputs: Numbers of the values among them.
        outputs: Numbers of the values it gives.
        name: Name of its layer; of a `FakeQuant`, that of the layer it rounds.
        before_activation: Whether it is a layer without its activation, which
            is the next step.
        scopes: TensorFlow's name scope of the call inside the model, for each
            of `SCOPE_VISITS`: `"inner_1/conv_1"`.
    """

    operation: Callable
    args: tuple
    kwargs: dict
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    name: str
    scopes: tuple[str, ...]
    before_activation: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class KerasGraph:
    """The calls of a functional model with one input and one output, nested models unfolded.

    Attributes:
        steps: In the order they run. Value 0 is the model's input.
        output: Number of the value that the model gives.
    """

    steps: tuple[Step, ...]
    output: int

    @functools.cached_property
    def last_readers(self) -> dict[int, int]:
        """The place of the step after which each value is needed no more."""
        return {index: place for place, step in enumerate(self.steps) for index in step.inputs}

    @functools.cached_property
    def linears(self) -> dict[int, Step]:
        """The layers without their activation, by the value they give."""
        return {step.outputs[0]: step for step in self.steps if step.before_activation}

    @functools.cached_property
    def rounded(self) -> frozenset[int]:
        """The values that stand in no file, because a `FakeQuant` rounds them first."""
        steps = (step for step in self.steps if isinstance(step.operation, FakeQuant))
        return frozenset(index for step in steps for index in step.inputs)

    def until_they_meet(self, steps: Iterable[Step]) -> set[int]:
        """The values from some steps on, up to the first one that all their paths go through."""
        places = {step.outputs[0]: place for place, step in enumerate(self.steps)}
        starts = {places[step.outputs[0]] for step in steps}
        common = set.intersection(*(set(self._passed_by_all[place]) for place in starts))
        values = set()
        for place in range(min(starts), min(common, default=len(self.steps) - 1) + 1):
            step = self.steps[place]
            if place in starts or not values.isdisjoint(step.inputs):
                values.update(step.outputs)
        return values

    @functools.cached_property
    def _passed_by_all(self) -> list[frozenset[int]]:
        """For each step the places of those that every path from it to the output goes through."""
        readers: dict[int, list[int]] = {}
        for place, step in enumerate(self.steps):
            for index in step.inputs:
                readers.setdefault(index, []).append(place)
        found: list[frozenset[int]] = [frozenset()] * len(self.steps)
        for place in reversed(range(len(self.steps))):
            behind = {
                reader for index in self.steps[place].outputs for reader in readers.get(index, ())
            }
            if behind:
                found[place] = frozenset.intersection(*(found[i] | {i} for i in behind))
        return found


def unfold(model: keras.Model) -> KerasGraph | None:
    """The calls of a model, `None` if it is not functional."""
    functional = _functional(model)
    if functional is None:
        return None
    unfolding = _Unfolding()
    outputs = unfolding.run(functional, [Ref(0)], ("",) * len(SCOPE_VISITS))
    return KerasGraph(tuple(unfolding.steps), outputs[0].index)


def call(step: Step, values: dict) -> list:
    """What a step gives for the values of its inputs, as tensors of the backend."""

    def filled(x):
        return values[x.index] if isinstance(x, Ref) else x

    args, kwargs = keras.tree.map_structure(filled, (step.args, step.kwargs))
    # Layers that augment images do so unless told otherwise.
    if getattr(step.operation, "_call_has_training_arg", False):
        kwargs["training"] = False
    return keras.tree.flatten(step.operation(*args, **kwargs))


def value_shapes(graph: KerasGraph, inputs: np.ndarray) -> dict[int, tuple[int, ...]]:
    """The shape of every value for such inputs."""
    values, shapes = {0: keras.ops.convert_to_tensor(inputs)}, {}
    for place, step in enumerate(graph.steps):
        for index, value in zip(step.outputs, call(step, values), strict=True):
            values[index], shapes[index] = value, tuple(value.shape)
        for index in step.inputs:
            if graph.last_readers[index] == place:
                values.pop(index, None)
    return shapes


def to_float32(value) -> np.ndarray:
    """A tensor of the backend as a float32 array."""
    return keras.ops.convert_to_numpy(keras.ops.cast(value, "float32"))


def _functional(operation):
    """The functional model that an operation is, or `None`."""
    operation = getattr(operation, "_functional", None) or operation
    return operation if hasattr(operation, "_nodes_by_depth") else None


class _Unfolding:
    def __init__(self):
        self.steps = []
        self._names = {}
        self._count = 1
        self._scopes = [_ScopeNames() for _ in SCOPE_VISITS]

    def run(self, model, inputs, scopes):
        values = {id(tensor): ref for tensor, ref in zip(model.inputs, inputs, strict=True)}
        for depth in sorted(model._nodes_by_depth, reverse=True):
            for node in model._nodes_by_depth[depth]:
                if node.is_input or any(id(x) not in values for x in node.input_tensors):
                    continue
                outputs = self._call(node, *node.arguments.fill_in(values), scopes)
                values |= {id(x): ref for x, ref in zip(node.outputs, outputs, strict=True)}
        return [values[id(tensor)] for tensor in model.outputs]

    def _call(self, node, args, kwargs, scopes):
        operation = node.operation
        # Operations that are no layers open no scope.
        if isinstance(operation, keras.layers.Layer):
            scopes = tuple(
                names.open(prefix, operation.name, visits)
                for names, prefix, visits in zip(self._scopes, scopes, SCOPE_VISITS, strict=True)
            )
        refs = [x for x in keras.tree.flatten((args, kwargs)) if isinstance(x, Ref)]
        inner = _functional(operation)
        if inner is not None:
            return self.run(inner, refs, scopes)
        activation = _own_activation(operation)
        if activation is None:
            return self._append(operation, args, kwargs, len(node.outputs), scopes)
        # Two operations in most files, with a tensor between them.
        name = f"{operation.name} (before {activation.__name__})"
        linear = _WithoutActivation(operation, name)
        between = self._append(linear, args, kwargs, 1, scopes, before_activation=True)
        return self._append(_Activation(activation, operation.name), tuple(between), {}, 1, scopes)

    def _append(self, operation, args, kwargs, count, scopes, **fields):
        refs = [x for x in keras.tree.flatten((args, kwargs)) if isinstance(x, Ref)]
        outputs = [Ref(self._count + i) for i in range(count)]
        self._count += count
        name = operation.name
        if isinstance(operation, FakeQuant):
            name = self._names.get(refs[0].index, name)
        self._names |= {ref.index: name for ref in outputs}
        indices = (tuple(ref.index for ref in group) for group in (refs, outputs))
        self.steps.append(Step(operation, args, kwargs, *indices, name, scopes, **fields))
        return outputs


def _own_activation(operation):
    """The activation of a layer that does something else before, or `None`."""
    # Of these classes alone it is known how they call it.
    if type(operation) not in _LAYERS_WITH_ACTIVATION:
        return None
    activation = operation.activation
    plain = activation is keras.activations.linear or isinstance(activation, keras.layers.Layer)
    return None if plain else activation


@dataclasses.dataclass(frozen=True, eq=False)
class _WithoutActivation:
    layer: keras.layers.Layer
    name: str

    def __call__(self, *args, **kwargs):
        activation, self.layer.activation = self.layer.activation, None
        try:
            return self.layer(*args, **kwargs)
        finally:
            self.layer.activation = activation


@dataclasses.dataclass(frozen=True, eq=False)
class _Activation:
    function: Callable
    name: str

    def __call__(self, x):
        return self.function(x)


class _ScopeNames:
    """Names scopes as TensorFlow's `Graph.unique_name` does: a taken one gets a number."""

    def __init__(self):
        self._uses = {}

    def open(self, prefix, name, visits):
        name = f"{prefix}/{name}" if prefix else name
        for _ in range(visits):
            scope = self._unique(name)
        return scope

    def _unique(self, name):
        key = name.lower()
        number = self._uses.get(key, 0)
        self._uses[key] = number + 1
        if not number:
            return name
        while f"{key}_{number}" in self._uses:
            number += 1
        self._uses[f"{key}_{number}"] = 1
        return f"{name}_{number}"
