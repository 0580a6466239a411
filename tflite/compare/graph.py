"""A Keras model as a flat list of calls, so that other values can be put in between them."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence

import keras
import numpy as np

from care_keras.graph import Ref
from care_keras.quantization import FakeQuant


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
            of `unfold.SCOPE_VISITS`: `"inner_1/conv_1"`.
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
    """The calls of a functional model, nested models unfolded.

    Attributes:
        steps: In the order they run. The first values, from 0, are the model's inputs.
        outputs: Numbers of the values that the model gives, flattened.
    """

    steps: tuple[Step, ...]
    outputs: tuple[int, ...]

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


def call(step: Step, values: dict) -> list:
    """What a step gives for the values of its inputs, as tensors of the backend."""

    def filled(x):
        return values[x.index] if isinstance(x, Ref) else x

    args, kwargs = keras.tree.map_structure(filled, (step.args, step.kwargs))
    # Layers that augment images do so unless told otherwise.
    if getattr(step.operation, "_call_has_training_arg", False):
        kwargs["training"] = False
    return keras.tree.flatten(step.operation(*args, **kwargs))


def value_shapes(graph: KerasGraph, inputs: Sequence[np.ndarray]) -> dict[int, tuple[int, ...]]:
    """The shape of every value for such inputs."""
    values, shapes = dict(enumerate(map(keras.ops.convert_to_tensor, inputs))), {}
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
