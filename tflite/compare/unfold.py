"""Unfolds a Keras model into its calls, each with the name scope TensorFlow has for it."""

import dataclasses
from collections.abc import Callable

import keras

from care_keras import graph as graph_module
from care_keras.graph import Ref, functional_form
from care_keras.quantization import FakeQuant
from tflite.compare.graph import KerasGraph, Step

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


def unfold(model: keras.Model) -> KerasGraph | None:
    """The calls of a model, `None` if it is not functional."""
    if functional_form(model) is None:
        return None
    graph = graph_module.unfold(model)
    unfolding = _Unfolding(graph.input_count)
    refs = {index: Ref(index) for index in range(graph.input_count)}
    for step in graph.steps:
        refs |= zip(step.outputs, unfolding.call(step, refs), strict=True)
    outputs = (refs[output.index].index for output in keras.tree.flatten(graph.outputs))
    return KerasGraph(tuple(unfolding.steps), tuple(outputs))


class _Unfolding:
    def __init__(self, inputs):
        self.steps = []
        self._names = {}
        self._count = inputs
        self._scopes = [_ScopeNames() for _ in SCOPE_VISITS]
        # Of each call of a model that steps are inside of.
        self._open = {(): ("",) * len(SCOPE_VISITS)}

    def call(self, step, refs):
        """Adds a step, of which `refs` are the values so far; its outputs."""
        args, kwargs = keras.tree.map_structure(
            lambda x: refs[x.index] if isinstance(x, Ref) else x,
            (step.args, step.kwargs),
        )
        operation, scopes = step.operation, self._scopes_within(step.within)
        # Operations that are no layers open no scope.
        if isinstance(operation, keras.layers.Layer):
            scopes = self._enter(scopes, operation)
        activation = _own_activation(operation)
        if activation is None:
            return self._append(operation, args, kwargs, len(step.outputs), scopes)
        # Two operations in most files, with a tensor between them.
        name = f"{operation.name} (before {activation.__name__})"
        linear = _WithoutActivation(operation, name)
        between = self._append(linear, args, kwargs, 1, scopes, before_activation=True)
        return self._append(_Activation(activation, operation.name), tuple(between), {}, 1, scopes)

    def _scopes_within(self, within):
        if within not in self._open:
            self._open[within] = self._enter(self._scopes_within(within[:-1]), within[-1][0])
        return self._open[within]

    def _enter(self, scopes, operation):
        return tuple(
            names.open(prefix, operation.name, visits)
            for names, prefix, visits in zip(self._scopes, scopes, SCOPE_VISITS, strict=True)
        )

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
