"""Layer by layer: where a .tflite file and a Keras model part.

A layer is given what the file's operators were given before it, so that it
answers for its own error and for no other's. What adds up on the way is told
beside it.
"""

import dataclasses
from collections.abc import Callable, Iterator

import keras
import numpy as np

from care_keras.litert.tensor import TensorInfo
from care_keras.tflite_file import Graph
from tflite.compare.figures import Criterion, Figures, Tally
from tflite.compare.graph import KerasGraph, Step, call, to_float32
from tflite.compare.misnamed import Judgement
from tflite.compare.names import Match, Matching


@dataclasses.dataclass(frozen=True)
class LayerComparison:
    """One layer in both.

    Attributes:
        name: Of the layer.
        operator: Kind of the operator that writes its tensor: `"CONV_2D"`.
        operator_index: Its index in the file.
        tensor: Name of the tensor.
        dtype: Its type.
        own: The layer, given what the file's operators were given.
        snr_db: Of the tensor against Keras's own run: all that has added up.
    """

    name: str
    operator: str
    operator_index: int
    tensor: str
    dtype: str
    own: Figures
    snr_db: float

    @property
    def lost_here_db(self) -> float:
        """The lower of the two ratios that say what this layer loses."""
        return min(self.own.snr_db, self.own.rounding_snr_db or np.inf)


@dataclasses.dataclass(frozen=True)
class LayerComparisons:
    """What came of all of them.

    Attributes:
        layers: Those that could be matched, in the order they run.
        misled: Layers that share a name with a tensor which does not hold what
            they give, and is nothing that the file goes on with as that.
        undecided: Likewise, but what comes next differs too, so that it cannot
            be told.
        decomposed_differently: Layers that the file has other operations for.
    """

    layers: tuple[LayerComparison, ...]
    misled: tuple[str, ...]
    undecided: tuple[str, ...]
    decomposed_differently: tuple[str, ...]

    @property
    def first_wrong(self) -> LayerComparison | None:
        """The first layer that is not right."""
        return next((layer for layer in self.layers if not layer.own.right), None)


# Inputs for Keras and the content of the file's tensors by index, for some images.
Batch = tuple[list[np.ndarray], dict[int, np.ndarray]]


def compare_layers(
    graph: KerasGraph,
    file: Graph,
    matching: Matching,
    batches: Callable[[], Iterator[Batch]],
    criterion: Criterion,
) -> LayerComparisons:
    """Compares all matched layers.

    Args:
        graph: The Keras model.
        file: What is in the .tflite file.
        matching: Which tensor may be which layer's.
        batches: Gives the images; the first few decide which matches hold.
        criterion: When a layer is wrong.
    """
    run = _Run(graph, file, criterion)
    trusted, verdicts = matching.by_value, {}
    tallies = run.measure(trusted, batches())
    doubtful = any(
        not (one.certain or tallies[value][0].figures(criterion).right)
        for value, one in trusted.items()
    )
    if doubtful or matching.decomposed:
        verdicts = Judgement(run, matching).pass_on(next(batches()))
        trusted = {k: one for k, one in trusted.items() if verdicts.get(k, "wrong") == "wrong"}
        if len(trusted) < len(matching.by_value):
            tallies = run.measure(trusted, batches())
    layers = []
    for step in graph.steps:
        if step.outputs[0] not in trusted:
            continue
        one = trusted[step.outputs[0]]
        own, total = (tally.figures(criterion) for tally in tallies[step.outputs[0]])
        tensor = file.tensors[one.tensor]
        layers.append(
            LayerComparison(
                step.name,
                one.operator.label,
                one.operator.index,
                tensor.name,
                tensor.dtype,
                own,
                total.total_snr_db,
            )
        )

    def named(verdict):
        return tuple(s.name for s in graph.steps if verdicts.get(s.outputs[0]) == verdict)

    return LayerComparisons(
        tuple(layers),
        named("misled"),
        named("undecided"),
        tuple(
            step.name
            for step in graph.steps
            if step.outputs[0] in matching.decomposed - trusted.keys() - graph.rounded
        ),
    )


class _Run:
    """What both passes over a graph need."""

    def __init__(self, graph, file, criterion):
        self.graph = graph
        self.criterion = criterion
        self._file = file

    def tally(self, one: Match) -> Tally:
        return Tally(TensorInfo.of_tensor(self._file.tensors[one.tensor]))

    def figures(self, one, value, content) -> Figures:
        tally = self.tally(one)
        tally.add(to_float32(value), content)
        return tally.figures(self.criterion)

    def content(self, one, contents, like):
        """What the file's tensor holds, as a value for Keras."""
        info = TensorInfo.of_tensor(self._file.tensors[one.tensor])
        values = info.dequantize(contents[one.tensor])
        return keras.ops.convert_to_tensor(values, keras.backend.standardize_dtype(like.dtype))

    def forget(self, place, *values):
        """Drops what no later step reads."""
        for index in self.graph.steps[place].inputs:
            if self.graph.last_readers[index] == place:
                for one in values:
                    one.pop(index, None)

    def measure(self, trusted, batches):
        """Two tallies for each match: the layer on the file's values, and Keras's own run."""
        tallies = {value: (self.tally(one), self.tally(one)) for value, one in trusted.items()}
        for batch in batches:
            self._measure(trusted, batch, tallies)
        return tallies

    def _measure(self, trusted, batch, tallies):
        inputs, contents = batch
        # Both runs in one, as images of one batch: most of the time goes into starting operations.
        twice = (keras.ops.convert_to_tensor(np.concatenate([one, one])) for one in inputs)
        values = dict(enumerate(twice))
        for place, step in enumerate(self.graph.steps):
            values |= dict(zip(step.outputs, call(step, values), strict=True))
            value = step.outputs[0]
            if value in trusted:
                one = trusted[value]
                content, both = contents[one.tensor], values[value]
                check_shape(step, content, both)
                given, plain = np.split(to_float32(both), 2)
                tallies[value][0].add(given, content)
                tallies[value][1].add(plain, content)
                values[value] = keras.ops.concatenate(
                    [self.content(one, contents, both), both[len(content) :]]
                )
            self.forget(place, values)


def check_shape(step: Step, content: np.ndarray, value) -> None:
    """Raises ValueError if a tensor has not the shape of what the layer gives."""
    have, wanted = content.shape[1:], tuple(value.shape)[1:]
    if have != wanted:
        raise ValueError(
            "The models do not fit together: a layer has another shape. "
            f"Received: {step.name} of {have} in the file, {wanted} in Keras"
        )
