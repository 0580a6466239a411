"""The calls of a model, and how values run through them."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras


@dataclasses.dataclass(frozen=True)
class Ref:
    """Stands for the value of this number among a call's arguments."""

    index: int


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One call of an operation.

    Attributes:
        operation: What is called: a layer, or an operation of `keras.ops`.
        args: Its arguments with a `Ref` for each tensor.
        kwargs: Likewise.
        outputs: Numbers of the values it gives.
        within: The calls of models that it is inside of, the outermost first:
            the model and a number that tells two calls of it apart.
    """

    operation: keras.Operation
    args: tuple
    kwargs: dict
    outputs: tuple[int, ...]
    within: tuple[tuple[keras.Model, int], ...] = ()

    @functools.cached_property
    def inputs(self) -> tuple[int, ...]:
        """Numbers of the values among its arguments, in their order."""
        leaves = keras.tree.flatten((self.args, self.kwargs))
        return tuple(leaf.index for leaf in leaves if isinstance(leaf, Ref))


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """The calls of a functional model, those of models within it among them.

    Attributes:
        steps: In the order that Keras runs them in. The first values, from 0,
            are the model's inputs.
        outputs: The structure that the model returns, of `Ref`s.
        input_count: How many inputs there are.
    """

    steps: tuple[Step, ...]
    outputs: object
    input_count: int

    @functools.cached_property
    def readers(self) -> dict[int, tuple[Step, ...]]:
        """The steps that read each value."""
        found: dict[int, list[Step]] = {}
        for step in self.steps:
            for index in dict.fromkeys(step.inputs):
                found.setdefault(index, []).append(step)
        return {index: tuple(steps) for index, steps in found.items()}

    @functools.cached_property
    def producers(self) -> dict[int, Step]:
        """The step that gives each value; the model's inputs have none."""
        return {index: step for step in self.steps for index in step.outputs}

    @functools.cached_property
    def returned(self) -> frozenset[int]:
        """The values that the model returns."""
        return frozenset(ref.index for ref in keras.tree.flatten(self.outputs))

    def run(self, inputs: Sequence, call: Callable) -> Any:
        """Runs anything through the graph, from the inputs to the outputs.

        Args:
            inputs: A value for each input.
            call: Is called as `call(operation, *args, **kwargs)` for each step,
                and returns what stands for its outputs, in any structure.

        Returns:
            The outputs, in the model's own structure.
        """
        return self.run_steps(
            inputs, lambda step, args, kwargs: call(step.operation, *args, **kwargs)
        )

    def run_steps(self, inputs: Sequence, call: Callable) -> Any:
        """The same with `call(step, args, kwargs)`, for who needs to know which call it is."""
        values = dict(enumerate(inputs))
        if len(values) != self.input_count:
            raise ValueError(
                f"The graph has {self.input_count} inputs. Received: {len(values)} values"
            )
        last = {index: place for place, step in enumerate(self.steps) for index in step.inputs}
        for place, step in enumerate(self.steps):
            args, kwargs = _filled((step.args, step.kwargs), values)
            results = call(step, args, kwargs)
            # A single output may be anything, a list as well.
            flat = [results] if len(step.outputs) == 1 else keras.tree.flatten(results)
            values.update(zip(step.outputs, flat, strict=True))
            # Tensors are large: none stays longer than it is needed.
            for index in step.inputs:
                if last[index] == place and index not in self.returned:
                    values.pop(index, None)
        return _filled(self.outputs, values)


def inputs_of(args: tuple) -> list:
    """What a layer is called on: the values of its first argument, one or a list."""
    return list(args[0]) if isinstance(args[0], (list, tuple)) else [args[0]]


def _filled(structure, values):
    """A structure with values in place of `Ref`s."""
    return keras.tree.map_structure(
        lambda leaf: values[leaf.index] if isinstance(leaf, Ref) else leaf, structure
    )
