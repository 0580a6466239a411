"""From a functional model to its calls."""

import dataclasses
import weakref
from typing import Any

import keras

from care_keras.graph.steps import Graph, Ref, Step

# A model's graph never changes, and its config takes seconds where it has thousands of layers.
_known: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def functional_form(model) -> keras.Model | None:
    """A functional model of the same layers; `None` if there is none.

    Args:
        model: Functional, or sequential and built; of another one nothing is
            known of what happens between its layers.
    """
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs, model.outputs, name=model.name) if model.built else None
    return model if isinstance(model, keras.Model) and hasattr(model, "operations") else None


def input_structure(model: keras.Model) -> Any:
    """The inputs of a functional or sequential model in the structure that it is called with."""
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def unfold(model: keras.Model) -> Graph:
    """The calls of a model, models within it unfolded, layers called several times included.

    They come in the order in which Keras runs them.

    Args:
        model: Functional or sequential.

    Raises:
        ValueError: If it is neither.
    """
    if model in _known:
        return _known[model]
    form = functional_form(model)
    if form is None:
        raise ValueError(
            "Only functional and sequential models have a graph. "
            f"Received: model={model.name!r} of {type(model).__name__}"
        )
    count = len(form.inputs)
    unfolding = _Unfolding(count)
    outputs = unfolding.run(model, form, [Ref(index) for index in range(count)], ())
    graph = Graph(tuple(unfolding.steps), outputs, count)
    # A sequential model may still grow.
    if form is model:
        _known[model] = graph
    return graph


@dataclasses.dataclass(eq=False)
class _Call:
    """One call as the config tells it; its tensors are `(layer's name, call, output)`."""

    operation: keras.Operation
    args: tuple
    kwargs: dict
    sources: list


@dataclasses.dataclass(frozen=True)
class _Tensor:
    source: tuple[str, int, int]


class _Unfolding:
    def __init__(self, count):
        self.steps = []
        self._values = count
        self._models = 0

    def run(self, model, form, inputs, within):
        """Adds the calls of a model, and returns its outputs' structure of `Ref`s."""
        # Its own class may have another config, or none; of lists, its ends come in one order.
        config = _config(keras.Model(form.inputs, form.outputs))
        calls = _calls(form, config)
        sources = _ends(form, config["input_layers"])
        values = dict(zip(sources, inputs, strict=True))
        returned = _ends(form, config["output_layers"])
        for key in _in_order(calls, returned):
            call = calls[key]
            if not call.sources:
                continue  # An input, whose value is given.
            args, kwargs = keras.tree.map_structure(
                lambda leaf: values[leaf.source] if isinstance(leaf, _Tensor) else leaf,
                (call.args, call.kwargs),
            )
            outputs = self._call(call.operation, args, kwargs, within)
            values.update({(*key, place): ref for place, ref in enumerate(outputs)})
        structure = form.outputs[0] if isinstance(model, keras.Sequential) else model.output
        return keras.tree.pack_sequence_as(structure, [values[source] for source in returned])

    def _call(self, operation, args, kwargs, within):
        form = functional_form(operation)
        if form is not None:
            self._models += 1
            inputs = keras.tree.flatten(args)
            within = (*within, (operation, self._models))
            outputs = self.run(operation, form, inputs, within)
            return keras.tree.flatten(outputs)
        # Its first call's output: all calls give as many tensors.
        count = len(keras.tree.flatten(operation.output))
        outputs = tuple(range(self._values, self._values + count))
        self._values += count
        self.steps.append(Step(operation, args, kwargs, outputs, within))
        return [Ref(index) for index in outputs]


def _config(model):
    try:
        return model.get_config()
    # A layer of someone else's that cannot say its own config; of the calls it is not needed.
    except Exception:
        silenced = []
        try:
            for operation in model.operations:
                operation.get_config = dict
                silenced.append(operation)
            return model.get_config()
        finally:
            for operation in silenced:
                del operation.get_config


def _calls(model, config):
    """Every call of a model by `(layer's name, number of the call)`."""
    operations = {operation.name: operation for operation in model.operations}
    calls = {}
    for layer in config["layers"]:
        operation = operations[layer["name"]]
        nodes = layer["inbound_nodes"] or [{"args": [], "kwargs": {}}]
        for number, node in enumerate(nodes):
            args = tuple(_read(argument) for argument in node["args"])
            kwargs = {name: _read(value) for name, value in node["kwargs"].items()}
            leaves = keras.tree.flatten((args, kwargs))
            sources = [leaf.source for leaf in leaves if isinstance(leaf, _Tensor)]
            calls[layer["name"], number] = _Call(operation, args, kwargs, sources)
    return calls


def _read(value):
    """An argument as it was given, `_Tensor` for each tensor of the model."""
    if isinstance(value, (list, tuple)):
        return type(value)(_read(part) for part in value)
    if not isinstance(value, dict):
        return value
    kind = value.get("class_name")
    if kind == "__keras_tensor__":
        return _Tensor(tuple(value["config"]["keras_history"]))
    if kind == "__slice__":
        return slice(*(_read(value["config"][end]) for end in ("start", "stop", "step")))
    if kind == "__ellipsis__":
        return ...
    if kind is None:
        return {key: _read(part) for key, part in value.items()}
    return keras.saving.deserialize_keras_object(value)


def _ends(model, structure):
    """`(name, call, output)` of each tensor of a config's structure of inputs or outputs."""
    operations = {operation.name: operation for operation in model.operations}
    found = []
    for name, call, output in _triples(structure):
        # Here, and not in calls, Keras counts a functional model's own graph as its first call.
        operation = operations[name]
        own = isinstance(operation, keras.Model) and hasattr(operation, "operations")
        found.append((name, call - own, output))
    return found


def _triples(structure):
    if len(structure) == 3 and isinstance(structure[0], str):
        return [structure]
    return [triple for part in structure for triple in _triples(part)]


def _in_order(calls, returned):
    """The calls that outputs come from, as Keras orders them: by their distance from the end.

    Those of one distance come in the order in which a search from the outputs
    first meets them (keras/src/ops/function.py, `map_graph`), so that files
    written from a graph stay what they were.
    """
    found, state = [], {}
    for source in returned:
        # Without recursion: graphs are deeper than Python's stack.
        waiting = [(source[:2], False)]
        while waiting:
            key, done = waiting.pop()
            if done:
                found.append(key)
                state[key] = True
            elif key not in state:
                state[key] = False
                waiting.append((key, True))
                waiting += [(tuple(x[:2]), False) for x in reversed(calls[key].sources)]
    depths: dict[tuple, int] = {}
    by_operation: dict[int, int] = {}
    for key in reversed(found):
        call = calls[key]
        depth = max(depths.setdefault(key, 0), by_operation.get(id(call.operation), 0))
        by_operation[id(call.operation)] = depths[key] = depth
        for source in call.sources:
            parent = tuple(source[:2])
            depths[parent] = max(depth + 1, depths.get(parent, 0))
    return sorted(depths, key=lambda key: -depths[key])
