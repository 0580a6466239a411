"""fuse(): from the training form to the deploy form."""

import dataclasses
import inspect

import keras

# Their lowerings register themselves.
from care_keras.deploy import care_layers, keras_layers  # noqa: F401
from care_keras.deploy.keras_layers.activations import fused_activation
from care_keras.deploy.keras_layers.affine import affine_of
from care_keras.deploy.lowering import Affine, Builder, NoPrimitiveError, find_lowering
from care_keras.graph import functional_form, unfold
from care_keras.primitives.deploy_model import DeployModel
from care_keras.primitives.fused_activation import FusedActivation


@dataclasses.dataclass(frozen=True)
class Rewrites:
    """Which rewrites `fuse` makes; each can be turned off, to measure what it gives.

    Attributes:
        fold_batch_norm: Into the convolution beside it.
        merge_heads: Both heads of the classifier, LayerNorm's factors
            included, as one dense layer.
        split_wide_depthwise: A 7x7 depthwise convolution as some of at most 25
            taps.
        split_strips: The 11x1 and 1x11 depthwise convolutions as three of at
            most 9 taps.
        few_taps: The 7x7 in pieces of which all but one have at most 9 taps.
            Off by default, on for float32 files; in int8, where each sum is one
            more tensor to round, it gains no time.
        division_free: Attention without DIV, one product for all heads.
        fold_layer_scale: Into Inter2's projection and a scale of its residual.
            Off by default: the block's sums take as many operations either
            way, and int8 has one more tensor to round.
    """

    fold_batch_norm: bool = True
    merge_heads: bool = True
    split_wide_depthwise: bool = True
    split_strips: bool = True
    few_taps: bool = False
    division_free: bool = True
    fold_layer_scale: bool = False


def fuse(model: keras.Model, rewrites: Rewrites | None = None) -> DeployModel:
    """The deploy form of a CARE model: the same function, made for phones.

    Takes a `CAREClassifier`, a `CAREBackbone`, `keras.Model(backbone.input,
    backbone.pyramid_outputs)`, or any functional or sequential model with these
    inside, in every backend. Layers that are none of CARE's are taken over as
    they are (`DeployModel.foreign_operations`). The result is float32, has
    fixed weights of its own, and leaves `model` as it was.

    Args:
        model: A functional or sequential model of the training form.
        rewrites: Which rewrites to make; all that pay by default.

    Returns:
        A `DeployModel` with the input and output structure of `model`.

    Raises:
        ValueError: If the model is not functional, or a deploy form already.
    """
    if isinstance(model, DeployModel):
        raise ValueError(f"The model is a deploy form already. Received: model={model.name!r}")
    if functional_form(model) is None:
        raise ValueError(
            "Only functional models can be fused. "
            f"Received: model={model.name!r} of {type(model).__name__}"
        )
    inputs = [
        keras.Input(tensor.shape[1:], tensor.shape[0], tensor.dtype, name=tensor.name)
        for tensor in model.inputs
    ]
    outputs = _Lowering(unfold(model), rewrites or Rewrites()).run(inputs)
    structure = inputs[0] if len(inputs) == 1 else inputs
    return DeployModel(structure, outputs, name=f"{model.name}_deploy").describe(model)


class _Lowering:
    """Replaces the operations of a functional model one by one."""

    def __init__(self, graph, rewrites):
        self.graph = graph
        self.rewrites = rewrites
        self.builder = Builder()
        # Of a layer that is called several times there is one copy.
        self._copies = {}
        # What more than one operation reads, or the model returns: nothing is folded into it.
        self._shared = set()
        self._values = []
        # By the name of an operation that has a lowering: why it was of no use.
        self.reasons = {}

    def run(self, inputs):
        """The lowered outputs for symbolic inputs."""
        self._values += inputs
        self._shared |= {id(x) for x in inputs}
        outputs = self.graph.run_steps(inputs, self._lower)
        return keras.tree.map_structure(self.builder.tensor, outputs)

    def _lower(self, step, args, kwargs):
        outputs = self._lowered(step.operation, args, kwargs)
        flat = [outputs] if len(step.outputs) == 1 else keras.tree.flatten(outputs)
        for index, value in zip(step.outputs, flat, strict=True):
            # Or its id could be another's.
            self._values.append(value)
            if len(self.graph.readers.get(index, ())) != 1 or index in self.graph.returned:
                self._shared.add(id(value))
        return outputs

    def _lowered(self, operation, args, kwargs):
        lower = find_lowering(operation)
        if lower is None:
            return self._copied(operation, args, kwargs)
        given = args, kwargs
        if not lower.takes_affine:
            given = keras.tree.map_structure(self._tensor, given)
        values = _inputs(operation, *given)
        folded = self._folded(operation, values)
        if folded is not None:
            return folded
        try:
            return lower(self.builder, operation, values, self.rewrites)
        except NoPrimitiveError as error:
            self.reasons[operation.name] = str(error)
            return self._copied(operation, args, kwargs)

    def _copied(self, operation, args, kwargs):
        """What has no primitives, as it is."""
        args, kwargs = keras.tree.map_structure(self._tensor, (args, kwargs))
        if not isinstance(operation, keras.layers.Layer):
            return operation(*args, **kwargs)
        if operation in self._copies:
            return self._copies[operation](*args, **kwargs)
        config = operation.get_config()
        copy = type(operation).from_config({**config, "name": self.builder.name(operation.name)})
        outputs = copy(*args, **kwargs)
        copy.set_weights(operation.get_weights())
        self._copies[operation] = copy
        return outputs

    def _tensor(self, value):
        if not isinstance(value, Affine):
            return value
        x = self.builder.tensor(value)
        if id(value) in self._shared:
            self._shared.add(id(x))
        return x

    def _folded(self, operation, x):
        """The input itself, where the operation moves into what gave it; else `None`."""
        if isinstance(x, (list, dict)) or id(x) in self._shared:
            return None
        activation = fused_activation(operation)
        if isinstance(x, Affine):
            if not activation:
                return None
            x = self._tensor(x)
        layer = self.builder.product_behind(x)
        if not isinstance(layer, FusedActivation) or layer.activation != "linear":
            return None
        if activation:
            layer.activation = activation
            return x
        affine = affine_of(operation, x.shape[-1]) if self.rewrites.fold_batch_norm else None
        if affine is None or not hasattr(layer, "channel_axes") or not _is_of_last_axis(operation):
            return None
        self.builder.fold_after(layer, *affine)
        return x


def _is_of_last_axis(operation):
    axis = getattr(operation, "axis", -1)
    return axis in (-1, (-1,), [-1])


def _inputs(operation, args, kwargs):
    """The inputs as `lowers` says."""
    if any(isinstance(x, (keras.KerasTensor, Affine)) for x in keras.tree.flatten(kwargs)):
        return dict(inspect.signature(operation.call).bind(*args, **kwargs).arguments)
    # A layer takes several tensors as a list, an operation one by one, numbers among them.
    return list(args) if len(args) > 1 else args[0]
