"""A CARE block and the classifier's heads, written on primitives."""

import itertools

import keras
import numpy as np

from care_keras import primitives as p
from care_keras.deploy.lowering import lowers
from care_keras.layers import CAREBlock, DualClassifierHead, SingleClassifierHead
from care_keras.primitives.folding import (
    NARROW_CHANNELS,
    SEVEN_BY_SEVEN,
    array,
    average_dense,
    batch_norm_affine,
    fold_affine_before_conv,
    fold_layer_norm_into_dense,
    split_depthwise,
    split_strips,
)

# XNNPACK's RSQRT in half precision is right from 2^-14, under which it takes a number for 0, to
# 2^14 (LiteRT 2.3.0, ARM64). With these scales that are attention's denominators up to 4096, of
# which a trained Nano has 1100, and LayerNorm's variances up to 256.
_LEAST_HALF = 2.0**-14
_MEAN_SCALE, _VARIANCE_SCALE = 4.0, 64.0


@lowers(CAREBlock)
def lower_block(build, block, x, rewrites) -> keras.KerasTensor:
    """A `CAREBlock` at inference: mixer, dual interaction, residual."""
    name = block.name
    memory = _slice(build, x, f"{name}_memory", 0, block.memory_channels)
    features = lower_mixer(build, block.mixer, _feature_parts(build, block, x), name, rewrites)
    inter1, inter2 = block.interaction.inter1, block.interaction.inter2
    if inter1 is not None:
        features = lower_interaction(build, inter1, features, f"{name}_inter1", rewrites)
    joined = _concatenate(build, [memory, features] if block.memory else [features], name, "joined")
    if block.last:
        return lower_interaction(build, inter2, joined, f"{name}_inter2", rewrites)
    gamma = array(block.layer_scale.gamma)
    if inter2 is None:
        update = build.channel_scale(joined, gamma, f"{name}_layer_scale")
    elif rewrites.fold_layer_scale:
        update = lower_interaction(build, inter2, joined, f"{name}_inter2", rewrites, gamma=gamma)
    else:
        update = lower_interaction(build, inter2, joined, f"{name}_inter2", rewrites)
        update = build.channel_scale(update, gamma, f"{name}_layer_scale")
    return build.add(p.Add, [update, x], f"{name}_output")


def _feature_parts(build, block, x):
    """The features in the parts that the mixer decouples, sliced once."""
    mixer = block.mixer
    kinds = _local_kinds(mixer) or ["local"]
    if mixer.decoupling != "none":
        kinds = ["global", *kinds]
    starts = itertools.accumulate(mixer.parts, initial=block.memory_channels)
    return [
        _slice(build, x, f"{block.name}_{kind}_part", start, size)
        for kind, start, size in zip(kinds, starts, mixer.parts, strict=False)
    ]


def _slice(build, x, name, start, size):
    """Channels `start` to `start + size`; `x` itself if these are all, `None` if none."""
    if size == x.shape[-1]:
        return x
    return build.add(p.ChannelSlice, x, name, start, size) if size else None


def _concatenate(build, parts, name, kind):
    return build.add(p.Concatenate, parts, f"{name}_{kind}") if len(parts) > 1 else parts[0]


def _local_kinds(mixer):
    return [name.replace("local_conv", "local") for name in mixer.local_names]


def lower_mixer(build, mixer, parts, block_name, rewrites) -> keras.KerasTensor:
    """An `AsymmetricDecoupledMixer` of the parts of the channels that it decouples."""
    name = f"{block_name}_mixer"
    if mixer.decoupling == "none":
        x = _concatenate(build, _local(build, mixer, parts, name, rewrites), name, "local")
        return _global(build, mixer, x, name, rewrites)
    x_global, *x_local = parts
    outputs = [_global(build, mixer, x_global, name, rewrites)]
    outputs += _local(build, mixer, x_local, name, rewrites)
    return _concatenate(build, outputs, name, "output")


def _global(build, mixer, x, name, rewrites):
    """The global branch; without one its channels as they are."""
    if mixer.global_branch == "attention":
        return lower_attention(build, mixer.attention, x, f"{name}_attention", rewrites)
    if mixer.global_branch == "strip_conv":
        return _strips(build, mixer, x, f"{name}_strip", rewrites)
    return x


def _local(build, mixer, parts, name, rewrites):
    """The local branch, conv by conv; without one its channels as they are."""
    if not mixer.local_kernels:
        return parts
    return [
        _local_conv(build, getattr(mixer, attribute), x, f"{name}_{kind}", rewrites)
        for attribute, kind, x in zip(mixer.local_names, _local_kinds(mixer), parts, strict=True)
    ]


def lower_interaction(build, interaction, x, name, rewrites, gamma=None) -> keras.KerasTensor:
    """An `Interaction`; with `gamma`, times that factor of each channel."""
    hidden = x
    kernel, bias = array(interaction.expand.kernel), array(interaction.expand.bias)
    affine = batch_norm_affine(interaction.norm)
    if rewrites.fold_batch_norm:
        kernel, bias = fold_affine_before_conv(kernel, bias, *affine)
    else:
        hidden = build.channel_affine(hidden, *affine, f"{name}_norm")
    hidden = build.conv(hidden, kernel, bias, f"{name}_expand")
    hidden = build.add(p.Gelu, hidden, f"{name}_gelu")
    hidden = _depthwise(build, interaction.depthwise, hidden, f"{name}_depthwise")
    if not interaction.project:
        return hidden
    kernel, bias = array(interaction.projection.kernel), array(interaction.projection.bias)
    if gamma is not None:
        kernel, bias = kernel * gamma, bias * gamma
        x = build.channel_scale(x, gamma, f"{name}_residual")
    projection = build.conv(hidden, kernel, bias, f"{name}_projection")
    return build.add(p.Add, [projection, x], f"{name}_output")


def lower_attention(build, attention, x, name, rewrites) -> keras.KerasTensor:
    """A `LinearAttention` over the pixels of `x`, all heads in one product.

    `out = q (k^T v) / (q . sum(k) + N epsilon)`: numerator and denominator of
    the layer's own formula, both times N; with `rewrites.small_sums` times a
    small number, from keys that are divided by N. A mask keeps what belongs to
    one head apart.
    """
    channels = x.shape[-1]
    head_dim = attention.head_dim
    kernel, bias = array(attention.query_key.kernel), array(attention.query_key.bias)
    # Two convolutions: queries and keys differ in range, and int8 needs no slices then.
    query = _feature_map(build, x, kernel[..., :channels], bias[:channels], f"{name}_query")
    key_conv = kernel[..., channels:], bias[channels:]
    if rewrites.small_sums:
        key = _mean_terms(build, x, *key_conv, f"{name}_key")
    else:
        key = _feature_map(build, x, *key_conv, f"{name}_key")
    value = build.add(p.FlattenPixels, x, f"{name}_value")

    key_transposed = build.add(p.Transpose, key, f"{name}_key_transposed")
    key_value = build.add(p.MatMul, [key_transposed, value], f"{name}_key_value_all")
    key_value = build.add(p.HeadMask, key_value, f"{name}_key_value", head_dim)

    key_mean = build.add(p.Mean, key, f"{name}_key_mean", (1,))
    key_sum = build.add(p.SumOverPixels, [key_mean, key], f"{name}_key_sum", head_dim)
    denominator = build.add(p.MatMul, [query, key_sum], f"{name}_denominator_raw", transpose_b=True)
    epsilon = attention.epsilon * (_MEAN_SCALE if rewrites.small_sums else 1.0)
    denominator = build.add(
        p.AddEpsilon,
        denominator,
        f"{name}_denominator",
        epsilon,
        per_pixel=not rewrites.small_sums,
    )
    if rewrites.division_free:
        root = build.add(p.Rsqrt, denominator, f"{name}_root")
        if rewrites.small_sums and epsilon < _LEAST_HALF:
            # In half precision alone a denominator can be 0 after all, and its root infinite.
            root = build.add(p.Clip, root, f"{name}_root_finite", None, epsilon**-0.5)
        root = build.add(p.RepeatHeads, root, f"{name}_root_repeated", head_dim)
        query = build.add(p.Multiply, [query, root], f"{name}_query_half")
        if rewrites.small_sums:
            # Half precision holds the roots of small keys' quotients, not the quotients.
            outputs = build.add(p.MatMul, [query, key_value], f"{name}_pixels_half")
            outputs = build.add(p.Multiply, [outputs, root], f"{name}_pixels")
        else:
            # The query is divided before the product: after it the quotient would inherit the
            # denominator's spread over the pixels, which costs int8 some 5 dB.
            query = build.add(p.Multiply, [query, root], f"{name}_query_normalized")
            outputs = build.add(p.MatMul, [query, key_value], f"{name}_pixels")
    else:
        outputs = build.add(p.MatMul, [query, key_value], f"{name}_numerator")
        denominator = build.add(p.RepeatHeads, denominator, f"{name}_divisor", head_dim)
        outputs = build.add(p.Divide, [outputs, denominator], f"{name}_pixels")
    return build.add(p.UnflattenPixels, [outputs, x], f"{name}_output")


def _feature_map(build, x, kernel, bias, name):
    """`elu(conv(x)) + 1` as `(batch, pixels, channels)`."""
    x = build.conv(x, kernel, bias, f"{name}_conv")
    x = build.add(p.Elu, x, f"{name}_elu")
    x = build.add(p.AddOne, x, f"{name}_map")
    # Last: Qualcomm's compiler (QAIRT 2.51) makes a wrong product of what a constant was added to.
    return build.add(p.FlattenPixels, x, name)


def _mean_terms(build, x, kernel, bias, name):
    """`(elu(conv(x)) + 1) / N` as `(batch, N, channels)`, times the scale of means."""
    x = build.conv(x, kernel, bias, f"{name}_conv")
    x = build.add(p.Elu, x, f"{name}_elu")
    x = build.add(p.MeanTerm, x, f"{name}_mean_term", _MEAN_SCALE)
    return build.add(p.FlattenPixels, x, f"{name}_pixels")


@lowers(DualClassifierHead, SingleClassifierHead)
def lower_head(build, classifier, x, rewrites) -> keras.KerasTensor:
    """A classifier's heads at inference: the activation of the averaged logits.

    LayerNorm's sum of squares is a product of the row with itself, and its
    division by the number of channels moves into the dense layer:
    `(x - mean) / sqrt(var + e) = sqrt(C) (x - mean) / sqrt(sum of squares + C e)`.
    With `rewrites.small_sums` the row is divided before, and the sum a multiple of the variance.
    """
    name = classifier.name
    x = build.add(p.Mean, x, f"{name}_mean", (1, 2))
    x = build.add(p.Gelu, x, f"{name}_gelu")
    channels = x.shape[-1]
    center = build.add(p.Mean, x, f"{name}_channel_mean", (3,))
    x = build.add(p.Subtract, [x, center], f"{name}_centered")
    # What the sum of squares is of the variance; the dense layer makes up for it.
    factor = _VARIANCE_SCALE if rewrites.small_sums else channels
    right = x
    if rewrites.small_sums:
        terms = f"{name}_variance_terms"
        right = build.constant(p.MultiplyConstant, x, factor / channels, terms)
    squares = build.add(p.MatMul, [x, right], f"{name}_squares_raw", transpose_b=True)
    epsilon = factor * classifier.head.norm.epsilon
    squares = build.add(p.AddEpsilon, squares, f"{name}_squares", epsilon)
    root = build.add(p.Rsqrt, squares, f"{name}_root")
    x = build.add(p.Multiply, [x, root], f"{name}_normalized")
    heads = [
        fold_layer_norm_into_dense(
            array(head.dense.kernel) * np.sqrt(factor),
            array(head.dense.bias),
            array(head.norm.gamma),
            array(head.norm.beta) / np.sqrt(factor),
        )
        for head in classifier.heads()
    ]
    if len(heads) == 1:
        logits = _dense(build, x, heads[0], f"{name}_logits")
    elif rewrites.merge_heads:
        logits = _dense(build, x, average_dense(*heads), f"{name}_logits")
    else:
        halves = [(kernel / 2.0, bias / 2.0) for kernel, bias in heads]
        logits = build.add(
            p.Add,
            [_dense(build, x, halves[0], "head"), _dense(build, x, halves[1], "dist_head")],
            f"{name}_logits",
        )
    logits = build.add(p.SqueezePixels, logits, f"{name}_output")
    return _activation(build, classifier.activation, logits, name)


def _activation(build, activation, logits, name):
    kind = getattr(activation, "__name__", str(activation))
    if kind == "linear":
        return logits
    if kind == "softmax":
        return build.add(p.Softmax, logits, f"{name}_probabilities")
    # No primitive: such a head converts to a float file only.
    return build.add(keras.layers.Activation, logits, f"{name}_probabilities", activation)


def _dense(build, x, dense, name):
    """A dense layer as a 1x1 convolution, whose int8 kernel has a step for each class."""
    kernel, bias = dense
    return build.conv(x, kernel[None, None], bias, name)


def _depthwise(build, conv, x, name):
    return build.depthwise(x, array(conv.kernel), array(conv.bias), name)


def _strips(build, mixer, x, name, rewrites):
    strips = [
        (array(conv.kernel), array(conv.bias))
        for conv in (mixer.strip_conv_vertical, mixer.strip_conv_horizontal)
    ]
    dense = rewrites.dense_narrow and x.shape[-1] <= NARROW_CHANNELS
    if rewrites.split_strips and not dense:
        return build.sum_of_depthwise(x, split_strips(*strips), name)
    whole = [(*strip, (1, 1)) for strip in strips]
    return build.sum_of_depthwise(x, whole, name, dense=dense)


def _local_conv(build, conv, x, name, rewrites):
    kernel, bias = array(conv.kernel), array(conv.bias)
    wide = conv.kernel_size == (7, 7)
    dense = wide and rewrites.dense_narrow and x.shape[-1] <= NARROW_CHANNELS
    if dense or not wide or not rewrites.split_wide_depthwise:
        return build.depthwise(x, kernel, bias, name, dense=dense)
    pieces = split_depthwise(kernel, bias, SEVEN_BY_SEVEN)
    return build.sum_of_depthwise(x, pieces, name)
