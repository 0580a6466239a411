"""Pooling and resizing."""

from care_keras import primitives as p
from care_keras.emit.rules import operators as o
from care_keras.emit.rules.registry import rule


@rule(p.MaxPool2D)
def _max_pool(emit, layer, x):
    return _pool(emit, "MAX_POOL_2D", layer, x)


@rule(p.AveragePool2D)
def _average_pool(emit, layer, x):
    return _pool(emit, "AVERAGE_POOL_2D", layer, x)


def _pool(emit, name, layer, x):
    options = o.options(
        "Pool2D",
        padding=o.PADDINGS[layer.padding],
        strideH=layer.strides[0],
        strideW=layer.strides[1],
        filterHeight=layer.pool_size[0],
        filterWidth=layer.pool_size[1],
        fusedActivationFunction=o.NO_ACTIVATION,
    )
    return o.operator(emit, name, [x], emit.output(layer, x), options)


@rule(p.Resize)
def _resize(emit, layer, x):
    output = emit.output(layer, x)
    size = o.int32(emit, output.shape[1:3], f"{layer.name}/size")
    bilinear = layer.interpolation == "bilinear"
    name, kind = ("RESIZE_BILINEAR", "ResizeBilinear")
    if not bilinear:
        name, kind = ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighbor")
    options = o.options(
        kind,
        alignCorners=layer.coordinates == "align_corners",
        halfPixelCenters=layer.coordinates == "half_pixel",
    )
    return o.operator(emit, name, [x, size], output, options)
