"""Unfolds a Keras model into its calls, each with the name scope TensorFlow has for it."""

import dataclasses
from collections.abc import Callable

import keras

from care_keras.quantization import FakeQuant
from tflite.comparison_graph import KerasGraph, Ref, Step

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
    functional = _functional(model)
    if functional is None:
        return None
    unfolding = _Unfolding()
    outputs = unfolding.run(functional, [Ref(0)], ("",) * len(SCOPE_VISITS))
    return KerasGraph(tuple(unfolding.steps), outputs[0].index)


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
