"""fuse(): from the training form to the deploy form."""

import dataclasses
import inspect

import keras

# Their lowerings register themselves.
from care_keras.deploy import care_layers, keras_layers  # noqa: F401
from care_keras.deploy.builder import Builder
from care_keras.deploy.keras_layers.activations import fused_activation
from care_keras.deploy.lowering import Affine, NoPrimitiveError, find_lowering
from care_keras.files import first_line
from care_keras.graph import functional_form, input_structure, unfold
from care_keras.primitives.deploy_model import DeployModel


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
        division_free: Attention without DIV, one product for all heads.
        offset_by_add: What a padded convolution cannot fold, as a Rescaling at
            the input, becomes an ADD, and its factor part of the kernel. Off by
            default, on for float32 files: at 224x224x3, where a depthwise
            convolution of one tap takes 450 us on AVX2, an ADD takes 30. In
            int8 it would be one more rounding of the image.
        fold_layer_scale: Into Inter2's projection and a scale of its residual.
            Off by default: the block's sums take as many operations either
            way, and int8 has one more tensor to round.
        small_sums: Attention's sums over pixels and LayerNorm's over channels as
            means, whose terms are divided before they are added: half precision
            holds those. An attention has one operation more, on a number for
            each head and pixel. Off by default, on for float files; int8 has
            steps for numbers of any size.
        dense_narrow: Wide depthwise convolutions of at most 8 channels, which
            else are split, whole: in int8 files dense ones of pixels side by side. Off by default,
            on for CPUs that multiply int8 matrices.
    """

    fold_batch_norm: bool = True
    merge_heads: bool = True
    split_wide_depthwise: bool = True
    split_strips: bool = True
    offset_by_add: bool = False
    division_free: bool = True
    fold_layer_scale: bool = False
    small_sums: bool = False
    dense_narrow: bool = False


def fuse(model: keras.Model, rewrites: Rewrites | None = None) -> DeployModel:
    """The deploy form of a Keras model: the same function, made for phones.

    Takes a `CAREClassifier`, a `CAREBackbone`, `keras.Model(backbone.input,
    backbone.pyramid_outputs)`, or any functional or sequential model, in every
    backend. Layers and operations of `keras.ops` become primitives; what has
    none is taken over as it is (`DeployModel.foreign_operations`, and
    `foreign_reasons` for why). The result is float32, has fixed weights of its
    own, and leaves `model` as it was.

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
        keras.Input(x.shape[1:], x.shape[0], _input_dtype(x), name=x.name) for x in model.inputs
    ]
    lowering = _Lowering(unfold(model), rewrites or Rewrites())
    outputs = lowering.run(inputs)
    structure = keras.tree.pack_sequence_as(input_structure(model), inputs)
    deployed = DeployModel(structure, outputs, name=f"{model.name}_deploy").describe(model)
    deployed.foreign_reasons = lowering.reasons
    return deployed


def _input_dtype(tensor):
    """float32 for numbers, pixels among them; what counts or names things stays what it is."""
    kind = tensor.dtype
    return "float32" if kind == "uint8" or _is_of_numbers(kind) else kind


def _is_of_numbers(dtype):
    return dtype.startswith(("float", "bfloat"))


class _Lowering:
    """Replaces the operations of a functional model one by one."""

    def __init__(self, graph, rewrites):
        self.graph = graph
        self.rewrites = rewrites
        self.builder = Builder(rewrites.offset_by_add)
        # Of a layer that is called several times there is one copy.
        self._copies = {}
        self._values = []
        # Why an operation has no primitives, by its name in the result.
        self.reasons = {}

    def run(self, inputs):
        """The lowered outputs for symbolic inputs."""
        self._values += inputs
        for x in inputs:
            self.builder.name(x.name)
        self.builder.shared |= {id(x) for x in inputs}
        outputs = self.graph.run_steps(inputs, self._lower)
        return keras.tree.map_structure(self.builder.tensor, outputs)

    def _lower(self, step, args, kwargs):
        outputs = self._lowered(step.operation, args, kwargs)
        flat = [outputs] if len(step.outputs) == 1 else keras.tree.flatten(outputs)
        for index, value in zip(step.outputs, flat, strict=True):
            # Or its id could be another's.
            self._values.append(value)
            if len(self.graph.readers.get(index, ())) != 1 or index in self.graph.returned:
                self.builder.shared.add(id(value))
        return outputs

    def _lowered(self, operation, args, kwargs):
        try:
            with self.builder.attempt():
                return self._on_primitives(operation, args, kwargs)
        except NoPrimitiveError as error:
            return self._copied(operation, args, kwargs, str(error))

    def _on_primitives(self, operation, args, kwargs):
        lower = find_lowering(operation)
        if lower is None:
            raise NoPrimitiveError(f"{type(operation).__name__} has no primitives")
        given = args, kwargs
        if not lower.takes_affine:
            given = keras.tree.map_structure(self.builder.tensor, given)
        values = _inputs(operation, *given)
        if not lower.takes_keywords:
            self._check_numbers(values, getattr(operation, "takes_integers", lower.takes_integers))
        fused = self._fused(operation, values)
        if fused is not None:
            return fused
        return self._folded(lower(self.builder, operation, values, self.rewrites))

    def _copied(self, operation, args, kwargs, reason):
        """What has no primitives, as it is."""
        args, kwargs = keras.tree.map_structure(self.builder.tensor, (args, kwargs))
        if operation in self._copies:
            return self._copies[operation](*args, **kwargs)
        name = self.builder.name(operation.name)
        self.reasons[name] = reason
        try:
            copy, outputs = _copy_of(operation, name, args, kwargs)
        # A layer of someone else's that is not made again of its config serves both models.
        except Exception as error:
            if name != operation.name:
                raise ValueError(
                    "A layer that cannot be copied has the name of another. "
                    f"Received: {operation.name!r} ({first_line(error)})"
                ) from error
            copy, outputs = operation, operation(*args, **kwargs)
        self._copies[operation] = copy
        return outputs

    def _fused(self, operation, x):
        """The input, where the operation is an activation that moves into what gave it."""
        activation = None if isinstance(x, (list, dict)) else fused_activation(operation)
        layer = self.builder.foldable(x) if activation else None
        if layer is None:
            return None
        layer.activation = activation
        return x

    def _check_numbers(self, values, takes_integers):
        """Refuses masks, places and the like, but places of a primitive to what moves them."""
        if isinstance(values, dict):
            raise NoPrimitiveError(f"it is called with {', '.join(list(values)[1:])}")
        for x in keras.tree.flatten(values):
            if not isinstance(x, keras.KerasTensor) or _is_of_numbers(x.dtype):
                continue
            if not (takes_integers and self.builder.producer(x)):
                raise NoPrimitiveError(f"its input is {x.dtype}")

    def _folded(self, value):
        """What a lowering gave; an affine map moves into the convolution that it is of."""
        if not isinstance(value, Affine) or not self.rewrites.fold_batch_norm:
            return value
        layer = self.builder.foldable(value.tensor)
        if not hasattr(layer, "channel_axes"):
            return value
        self.builder.fold_after(layer, value.scale, value.offset)
        return value.tensor


def _copy_of(operation, name, args, kwargs):
    """A copy under another name, and what it gives."""
    copy = type(operation).from_config({**operation.get_config(), "name": name})
    outputs = copy(*args, **kwargs)
    if isinstance(operation, keras.layers.Layer):
        copy.set_weights(operation.get_weights())
    return copy, outputs


def _inputs(operation, args, kwargs):
    """The inputs as `lowers` says."""
    if isinstance(operation, keras.layers.Layer):
        args = list(args)
        while len(args) > 1 and _says_nothing(args[-1]):
            args.pop()
    # What a functional model is called with decides on `training`, whatever its layers were.
    given = {
        name: value
        for name, value in kwargs.items()
        if name != "training" and not _says_nothing(value)
    }
    if given:
        named = dict(inspect.signature(operation.call).bind(*args, **given).arguments)
        return named if len(named) > 1 else next(iter(named.values()))
    # A layer takes several tensors as a list, an operation one by one, numbers among them.
    return list(args) if len(args) > 1 else args[0]


def _says_nothing(argument):
    """Whether a call is the same without an argument, as without a mask that is `None`."""
    return argument is None or argument is False
