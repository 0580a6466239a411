"""What moves numbers and changes none."""

from care_keras import primitives as p
from care_keras.emit.axes import MOST_AXES, fewer_to_slice
from care_keras.emit.rules import operators as o
from care_keras.emit.rules.registry import rule


@rule(p.ChannelSlice)
def _channel_slice(emit, layer, x):
    output = emit.output(layer, x)
    begin = o.int32(emit, (*[0] * (len(x.shape) - 1), layer.start), f"{layer.name}/begin")
    size = o.int32(emit, output.shape, f"{layer.name}/size")
    return o.operator(emit, "SLICE", [x, begin, size], output, o.options("Slice"))


@rule(p.Concatenate)
def _concatenate(emit, layer, inputs):
    output = emit.output(layer, inputs)
    axis = layer.axis % len(output.shape)
    options = o.options("Concatenation", axis=axis, fusedActivationFunction=o.NO_ACTIVATION)
    return o.operator(emit, "CONCATENATION", inputs, output, options)


def _reshape(emit, layer, x, shape_of):
    output = emit.output(layer, shape_of)
    return o.reshape(emit, layer.name, x, output)


@rule(p.UnflattenPixels)
def _unflatten_pixels(emit, layer, inputs):
    return _reshape(emit, layer, inputs[0], inputs)


@rule(p.FlattenPixels, p.SqueezePixels, p.Reshape)
def _plain_reshape(emit, layer, x):
    return _reshape(emit, layer, x, x)


@rule(p.Transpose)
def _transpose(emit, layer, x):
    rank = len(x.shape)
    order = (*range(rank - 2), rank - 1, rank - 2)
    output = emit.output(layer, x)
    return o.transpose(emit, layer.name, x, order, output)


@rule(p.Permute)
def _permute(emit, layer, x):
    return o.transpose(emit, layer.name, x, (0, *layer.order), emit.output(layer, x))


@rule(p.Slice)
def _slice(emit, layer, x):
    output = emit.output(layer, x)
    parts = [range(*part.indices(n)) for part, n in zip(layer.slices(), x.shape[1:], strict=True)]
    begin = (0, *(part.start for part in parts))
    if all(stride == 1 for stride in layer.strides):
        return _plain_slice(emit, layer, x, begin, output)
    begin = o.int32(emit, begin, f"{layer.name}/begin")
    end = o.int32(emit, (x.shape[0], *(part.stop for part in parts)), f"{layer.name}/end")
    strides = o.int32(emit, (1, *layer.strides), f"{layer.name}/strides")
    options = o.options("StridedSlice")
    return o.operator(emit, "STRIDED_SLICE", [x, begin, end, strides], output, options)


def _plain_slice(emit, layer, x, begin, output):
    """SLICE, between two RESHAPE where that spares many axes."""
    size, target = output.shape, output
    shape, fewer, sizes = fewer_to_slice(x.shape, begin, size)
    if len(x.shape) > MOST_AXES and len(shape) < len(x.shape):
        merged = emit.like(f"{layer.name}/merged", x, shape)
        x = o.reshape(emit, f"{layer.name}/merged", x, merged)
        target = emit.like(f"{layer.name}/part", output, sizes)
        begin, size = fewer, sizes
    inputs = [
        x,
        o.int32(emit, begin, f"{layer.name}/begin"),
        o.int32(emit, size, f"{layer.name}/size"),
    ]
    part = o.operator(emit, "SLICE", inputs, target, o.options("Slice"))
    return part if target is output else o.reshape(emit, layer.name, part, output)


@rule(p.Pad)
def _pad(emit, layer, x):
    paddings = o.int32(emit, ((0, 0), *layer.paddings), f"{layer.name}/paddings")
    return o.operator(emit, "PAD", [x, paddings], emit.output(layer, x), o.options("Pad"))
