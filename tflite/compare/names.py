"""Which tensor of a .tflite file holds what which layer gives, as far as names tell.

`care_keras` names a tensor after the layer of the deploy form. TensorFlow's
converter names it after the operations that were fused into it, in no fixed
order: `scope/Conv1_relu_1/Relu6;scope/bn_Conv1_1/batchnorm/add_1;...`, with a
number more behind a scope that is opened a second time, and the outputs of the
file after none of them. Names can mislead, so that only a match of `certain`
kind stands by itself; `layers` asks the values about the others.
"""

import dataclasses
from collections.abc import Callable, Mapping

import keras

from care_keras.primitives import DepthwiseConv2D
from care_keras.primitives.deploy_model import DeployModel
from care_keras.tflite_file import Graph, Operator
from tflite.compare.graph import KerasGraph, Step
from tflite.compare.unfold import SCOPE_VISITS

# By number of the value, or index of the tensor.
Shapes = dict[int, tuple[int, ...]]


@dataclasses.dataclass(frozen=True, eq=False)
class Match:
    """A layer and the tensor named after it.

    Attributes:
        step: The call of the layer.
        tensor: Index of the tensor.
        operator: The operator that writes it.
        certain: Whether the name leaves no doubt.
    """

    step: Step
    tensor: int
    operator: Operator
    certain: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Matching:
    """What was matched.

    Attributes:
        by_value: The match of each of the graph's values that has one.
        decomposed: Values of layers that are pieces of one operation, for which
            the file has other pieces, up to their sum.
    """

    by_value: dict[int, Match]
    decomposed: frozenset[int]


def count_named(graph: KerasGraph, file: Graph) -> tuple[int, int]:
    """How well a form of a model fits a file: `(tensors named after it, minus layers without)`."""
    names = {file.tensors[index].name for op in file.operators for index in op.outputs}
    layers = {step.name for step in graph.steps}
    named = max(len(layers & names), *(len(_named(graph, file, k)) for k in _VISITS))
    return named, -len(layers - names)


def match(
    graph: KerasGraph,
    file: Graph,
    model: keras.Model,
    shapes: Callable[[], Shapes],
    tensor_shapes: Shapes,
    outputs: Mapping[int, int] | None = None,
) -> Matching:
    """Matches layers with tensors by name, and by shape where names may mislead.

    Args:
        graph: The calls of `model`.
        file: What is in the .tflite file.
        model: The Keras model.
        shapes: Gives the shape of each value for a batch of the file's size.
        tensor_shapes: Shape of each tensor that can be compared.
        outputs: Which of the graph's values is which tensor, by default the first output.
    """
    found, decomposed = {}, frozenset()
    if isinstance(model, DeployModel):
        found, decomposed = _by_layer_name(graph, file, tensor_shapes)
    if not found:
        value_shapes = shapes()
        scoped = (_by_scope(graph, file, value_shapes, tensor_shapes, k) for k in _VISITS)
        found = max(scoped, key=len)
    # Of an output, what it is told by needs no name of a layer.
    for value, tensor in (outputs or {graph.outputs[0]: file.main.outputs[0]}).items():
        operator = file.main.producers.get(tensor)
        step = next((step for step in graph.steps if value == step.outputs[0]), None)
        if operator is not None and step is not None and len(file.tensors[tensor].shape) > 1:
            found = {other: one for other, one in found.items() if one.tensor != tensor}
            _add(found, graph, Match(step, tensor, operator, certain=True))
    return Matching(found, decomposed)


_VISITS = range(len(SCOPE_VISITS))
_PRODUCTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


def _by_layer_name(graph, file, tensor_shapes):
    """The tensors of a file that `care_keras` has written."""
    tensors = {
        file.tensors[index].name: (index, operator)
        for operator in file.operators
        for index in operator.outputs
        if index in tensor_shapes
    }
    found, split = {}, set()
    for step in graph.steps:
        if step.outputs[0] in graph.rounded or step.name not in tensors:
            continue
        index, operator = tensors[step.name]
        if _decomposed_differently(step, operator, file):
            split.add(step.inputs)
        found[step.outputs[0]] = Match(step, index, operator, certain=True)
    decomposed: set[int] = set()
    for inputs in split:
        # All pieces read the same.
        pieces = [x for x in graph.steps if x.inputs == inputs and _is_depthwise(x)]
        decomposed |= graph.until_they_meet(pieces)
        found = {value: one for value, one in found.items() if one.step not in pieces}
    return found, frozenset(decomposed)


def _decomposed_differently(step, operator, file):
    """Whether pieces of a wide depthwise convolution are other pieces in the file."""
    if operator.name != "DEPTHWISE_CONV_2D" or not _is_depthwise(step):
        return False
    options, kernel = operator.options, file.tensors[operator.inputs[1]].shape[1:3]
    dilation = (options.get("dilation_h_factor", 1), options.get("dilation_w_factor", 1))
    layer = step.operation
    return (tuple(layer.kernel_size), tuple(layer.dilation_rate)) != (tuple(kernel), dilation)


def _is_depthwise(step):
    return isinstance(step.operation, DepthwiseConv2D)


def _by_scope(graph, file, shapes, tensor_shapes, visits):
    """The last tensor of a layer's shape that names it, and names no later layer of that shape."""
    found = {}
    for index, operator, steps in _named(graph, file, visits):
        fitting = [s for s in steps if shapes[s.outputs[0]] == tensor_shapes.get(index)]
        if not fitting:
            continue
        _add(found, graph, Match(fitting[-1], index, operator, certain=False))
    return found


def _add(found, graph, one):
    """Adds a match, in place of an earlier one.

    That one is the layer without its activation if it is a product, and no
    product with the activation in it, as a later tensor shows.
    """
    earlier = found.get(one.step.outputs[0])
    found[one.step.outputs[0]] = one
    linear = graph.linears.get(one.step.inputs[0]) if one.step.inputs else None
    if earlier is not None and linear is not None and earlier.operator.name in _PRODUCTS:
        found[linear.outputs[0]] = dataclasses.replace(earlier, step=linear)


def _named(graph, file, visits):
    """`(tensor, operator, steps that it names)`, both in the order they run."""
    places = {step.scopes[visits]: place for place, step in enumerate(graph.steps)}
    longest = max((scope.count("/") + 1 for scope in places), default=0)
    named = []
    for operator in file.operators:
        for index in operator.outputs:
            scopes = _scopes(file.tensors[index].name, longest)
            steps = sorted({places[scope] for scope in scopes if scope in places})
            if steps:
                named.append((index, operator, [graph.steps[place] for place in steps]))
    return named


def _scopes(name, longest):
    """All that may be a layer's scope in a name, of so many words at most."""
    for part in name.split(";"):
        words = part.split("/")
        for start in range(len(words)):
            for end in range(start + 1, min(start + longest + 1, len(words))):
                yield "/".join(words[start:end])
