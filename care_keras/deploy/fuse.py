"""fuse(): from the training form to the deploy form."""

import dataclasses

import keras
import numpy as np

# Its lowerings register themselves.
from care_keras.deploy import care_layers  # noqa: F401
from care_keras.deploy.lowering import Builder, find_lowering
from care_keras.graph import functional_form, unfold
from care_keras.primitives.deploy_model import DeployModel
from care_keras.primitives.folding import (
    array,
    batch_norm_affine,
    fold_affine_after_conv,
    fold_affine_before_conv,
)


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


@dataclasses.dataclass(frozen=True)
class _Affine:
    """`scale * tensor + offset`, still to be computed or folded."""

    tensor: keras.KerasTensor
    scale: np.ndarray
    offset: np.ndarray
    name: str


class _Lowering:
    """Replaces the operations of a functional model one by one."""

    def __init__(self, graph, rewrites):
        self.graph = graph
        self.rewrites = rewrites
        self.builder = Builder()
        # Of a layer that is called several times there is one copy.
        self._copies = {}
        # Convolutions that nothing but one operation reads, by the tensors that they give now.
        self._foldable = {}

    def run(self, inputs):
        """The lowered outputs for symbolic inputs."""
        outputs = self.graph.run_steps(inputs, self._lower)
        return keras.tree.map_structure(self._materialized, outputs)

    def _lower(self, step, args, kwargs):
        operation = step.operation
        if isinstance(operation, keras.layers.BatchNormalization):
            return self._batch_norm(operation, args[0])
        if _is_patch_conv(operation):
            return self._conv(step, args[0])
        args, kwargs = keras.tree.map_structure(self._materialized, (args, kwargs))
        lower = find_lowering(operation)
        is_layer = isinstance(operation, keras.layers.Layer)
        if lower is not None:
            # A layer takes several tensors as a list, an operation one by one, numbers among them.
            several = len(args) > 1 and not is_layer
            return lower(self.builder, operation, list(args) if several else args[0], self.rewrites)
        if not is_layer:
            return operation(*args, **kwargs)
        if operation in self._copies:
            return self._copies[operation](*args, **kwargs)
        config = operation.get_config()
        copy = type(operation).from_config({**config, "name": self.builder.name(operation.name)})
        outputs = copy(*args, **kwargs)
        copy.set_weights(operation.get_weights())
        self._copies[operation] = copy
        return outputs

    def _batch_norm(self, norm, x):
        scale, offset = batch_norm_affine(norm)
        if not self.rewrites.fold_batch_norm:
            return self._materialized(_Affine(self._materialized(x), scale, offset, norm.name))
        conv = self._foldable.pop(id(x), None)
        if conv is not None:
            folded = fold_affine_after_conv(array(conv.kernel), array(conv.bias), scale, offset)
            self.builder.assign(conv, *folded)
            return x
        return _Affine(self._materialized(x), scale, offset, norm.name)

    def _conv(self, step, x):
        conv = step.operation
        kernel = array(conv.kernel)
        bias = array(conv.bias) if conv.use_bias else np.zeros(conv.filters)
        if isinstance(x, _Affine):
            kernel, bias = fold_affine_before_conv(kernel, bias, x.scale, x.offset)
            x = x.tensor
        layer = self.builder.conv_layer(kernel, conv.name, conv.strides[0])
        output = self.builder.call(layer, x, kernel, bias)
        (index,) = step.outputs
        if len(self.graph.readers.get(index, ())) == 1 and index not in self.graph.returned:
            self._foldable[id(output)] = layer
        return output

    def _materialized(self, value):
        """A value as a tensor: an affine map that met no convolution is computed."""
        if not isinstance(value, _Affine):
            return value
        return self.builder.channel_affine(value.tensor, value.scale, value.offset, value.name)


def _is_patch_conv(layer):
    """Whether a layer is a plain convolution that pads nothing."""
    return (
        isinstance(layer, keras.layers.Conv2D)
        and layer.padding == "valid"
        and layer.data_format == "channels_last"
        and layer.groups == 1
        and set(layer.dilation_rate) == {1}
        and len({*layer.kernel_size}) == len({*layer.strides}) == 1
        and layer.activation is keras.activations.linear
    )
