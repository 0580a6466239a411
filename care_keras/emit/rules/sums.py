"""Sums, element-wise products and means."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from care_keras import primitives as p
from care_keras.emit.rules import operators as o
from care_keras.emit.rules.registry import rule
from care_keras.primitives.folding import array


@rule(p.Add)
def _add(emit, layer, inputs):
    prelu = _prelu_of(emit, layer, inputs)
    if prelu is None:
        return _sum_operator(emit, layer, "Add", inputs)
    x, alpha = prelu
    alpha = o.float_constant(emit, layer, alpha, "alpha")
    return o.operator(emit, "PRELU", [x, alpha], emit.output(layer, inputs))


def _prelu_of(emit, layer, inputs):
    """`x` and `alpha` where a float sum is `relu(x) + alpha * min(x, 0)`, else `None`.

    For integers' sake PReLU is lowered to that: their PRELU has one step for all of `alpha`. What
    the sum no longer reads is not written.
    """
    sources = [emit.sources.get(x.index) for x in inputs]
    if None in sources or inputs[0].dtype != np.float32 or layer.activation != "linear":
        return None
    (above, (x, *_)), (scale, (clipped, *_)) = sources
    below, (same, *_) = emit.sources.get(getattr(clipped, "index", None), (None, (None,)))
    if not _clips(above, 0.0, None) or not _clips(below, None, 0.0) or x.index != same.index:
        return None
    pointwise = isinstance(scale, p.DepthwiseConv2D) and scale.kernel_size == (1, 1)
    if not pointwise or scale.depth_multiplier != 1 or scale.activation != "linear":
        return None
    if scale.strides != (1, 1) or np.any(array(scale.bias)):
        return None
    return x, array(scale.kernel).reshape(1, 1, -1)


def _clips(layer, low, high):
    return isinstance(layer, p.Clip) and (layer.low, layer.high) == (low, high)


@rule(p.Subtract)
def _subtract(emit, layer, inputs):
    return _sum_operator(emit, layer, "Sub", inputs)


def _sum_operator(emit, layer, kind, inputs):
    output = emit.output(layer, inputs)
    options = o.options(kind, fusedActivationFunction=o.activation(layer))
    if output.dtype == np.int16:
        # Or steps would have to be powers of two.
        options.potScaleInt16 = False
    return o.operator(emit, kind.upper(), inputs, output, options)


@rule(p.Multiply)
def _multiply(emit, layer, inputs):
    return o.multiply(emit, inputs, emit.output(layer, inputs), o.activation(layer))


@rule(p.Divide)
def _divide(emit, layer, inputs):
    options = o.options("Div", fusedActivationFunction=o.NO_ACTIVATION)
    return o.operator(emit, "DIV", inputs, emit.output(layer, inputs), options)


@rule(p.Maximum, p.Minimum)
def _extreme(emit, layer, inputs):
    kind = type(layer).__name__.upper()
    options = o.options("MaximumMinimum")
    return o.operator(emit, kind, inputs, emit.output(layer, inputs), options)


@rule(p.AddConstant)
def _add_constant(emit, layer, x):
    output = emit.output(layer, x)
    constant = array(layer.constant)
    if output.dtype != np.float32:
        # XNNPACK's ADD takes a term of at least 2^-10 of the sum's step.
        least = float(output.quantization.scale) * layer.int8.term_steps[0]
        constant = o.int8_constant(emit, layer, constant, least)
    else:
        constant = o.float_constant(emit, layer, constant)
    options = o.options("Add", fusedActivationFunction=o.activation(layer))
    return o.operator(emit, "ADD", [x, constant], output, options)


@rule(p.MultiplyConstant)
def _multiply_constant(emit, layer, x):
    output = emit.output(layer, x)
    constant = array(layer.constant)
    if output.dtype != np.float32:
        constant = o.int8_constant(emit, layer, constant)
    else:
        constant = o.float_constant(emit, layer, constant)
    return o.multiply(emit, [x, constant], output, o.activation(layer))


@rule(p.AddOne)
def _add_one(emit, layer, x):
    output = emit.output(layer, x)
    if output.dtype == np.float32:
        one = o.float_constant(emit, layer, [1.0])
    else:
        # The finer step where XNNPACK's ADD takes it: a term of at least 2^-10 of the sum's step.
        codes = 127 if output.quantization.scale <= 2.0**10 / 127 else 1
        one = o.integer_constant(emit, layer, np.asarray([codes]), 1 / codes)
    options = o.options("Add", fusedActivationFunction=o.NO_ACTIVATION)
    return o.operator(emit, "ADD", [x, one], output, options)


@rule(p.AddEpsilon)
def _add_epsilon(emit, layer, x):
    epsilon = layer.epsilon * (x.shape[1] if layer.per_pixel else 1)
    options = o.options("Add", fusedActivationFunction=o.NO_ACTIVATION)
    inputs = [x, o.float_constant(emit, layer, [epsilon])]
    return o.operator(emit, "ADD", inputs, emit.output(layer, x), options)


@rule(p.Mean)
def _mean(emit, layer, x):
    axes = o.int32(emit, layer.axes, f"{layer.name}/axes")
    options = o.options("Reducer", keepDims=True)
    return o.operator(emit, "MEAN", [x, axes], emit.output(layer, x), options)


@rule(p.Max)
def _max(emit, layer, x):
    axes = o.int32(emit, layer.axes, f"{layer.name}/axes")
    options = o.options("Reducer", keepDims=True)
    return o.operator(emit, "REDUCE_MAX", [x, axes], emit.output(layer, x), options)


@rule(p.ArgMax)
def _arg_max(emit, layer, x):
    axis = o.int32(emit, len(x.shape) - 1, f"{layer.name}/axis")
    name = f"{layer.name}/dropped" if layer.keepdims else layer.name
    output = emit.writer.tensor(name, x.shape[:-1], np.int32)
    options = o.options("ArgMax", outputType=schema.TensorType.INT32)
    places = o.operator(emit, "ARG_MAX", [x, axis], output, options)
    if not layer.keepdims:
        return places
    kept = emit.writer.tensor(layer.name, layer.compute_output_shape(x.shape), np.int32)
    return o.reshape(emit, layer.name, places, kept)


@rule(p.HeadMask)
def _head_mask(emit, layer, x):
    output = emit.output(layer, x)
    mask = layer.mask(x.shape[-1])[None]
    if output.dtype == np.float32:
        constant = o.float_constant(emit, layer, mask)
    else:
        constant = o.integer_constant(emit, layer, mask, 1.0)
    return o.multiply(emit, [x, constant], output)


@rule(p.SumOverPixels)
def _sum_over_pixels(emit, layer, inputs):
    mean, of = inputs
    output = emit.output(layer, inputs)
    heads = layer.head_matrix(mean.shape[-1])[None]
    pixels = of.shape[1]
    if output.dtype == np.float32:
        constant = o.float_constant(emit, layer, heads * pixels)
    else:
        constant = o.integer_constant(emit, layer, heads, pixels)
    return o.multiply(emit, [mean, constant], output)
