"""Pooling, sums over axes, resizing, and blocks of pixels that become channels."""

import types

from care_keras import primitives as p
from care_keras.deploy.keras_layers.windows import lower_min, lower_sum
from care_keras.deploy.lift.registry import Call, lifts, product
from care_keras.deploy.lift.values import Value, drop, normal_axis
from care_keras.deploy.lowering import NoPrimitiveError

_POOLS = {"MAX_POOL_2D": p.MaxPool2D, "AVERAGE_POOL_2D": p.AveragePool2D}
_REDUCTIONS = {"MEAN": p.Mean, "REDUCE_MAX": p.Max}


@lifts(*_POOLS)
def lift_pool(call: Call) -> Value:
    """MAX_POOL_2D or AVERAGE_POOL_2D."""
    x = call.build.tensor(call.images().tensor)
    size = call.counts("filter_height", "filter_width")
    strides = call.counts("stride_h", "stride_w")
    kind = _POOLS[call.operator.name]
    return call.finish(call.build.add(kind, x, call.name, size, strides, call.padding()), 0)


@lifts(*_REDUCTIONS, "REDUCE_MIN", "SUM")
def lift_reduction(call: Call) -> Value:
    """Over axes that are kept with size 1, or dropped; of the batch's nothing is computed."""
    value, build, name = call.value(), call.build, call.name
    rank = len(value.shape)
    axes = {normal_axis(axis, rank) for axis in call.integers(1)}
    if value.axis in axes and call.open_batch:
        raise NoPrimitiveError("over the images of a batch")
    own = sorted(value.own_axis(axis) for axis in axes - {value.axis})
    x = call.build.tensor(value.tensor)
    kind = call.operator.name
    if own and kind in _REDUCTIONS:
        x = build.add(_REDUCTIONS[kind], x, name, own)
    elif own:
        product([value.shape[axis] for axis in axes])
        operation = types.SimpleNamespace(name=name, axis=own, keepdims=True, initial=None)
        x = (lower_sum if kind == "SUM" else lower_min)(build, operation, x, None)
    value = call.like(value, x)
    return value if call.option("keep_dims") else drop(build, value, axes, f"{name}_dropped")


@lifts("ARG_MAX")
def lift_arg_max(call: Call) -> Value:
    """int32 places, whatever integers the file has for them."""
    value, build = call.value(), call.build
    (axis,) = call.integers(1)
    axis = normal_axis(axis, len(value.shape))
    if axis == value.axis:
        raise NoPrimitiveError("over the images of a batch")
    x, own = build.tensor(value.tensor), value.own_axis(axis)
    rank = len(x.shape)
    if own != rank - 1:
        order = [place for place in range(1, rank) if place != own]
        x = build.add(p.Permute, x, f"{call.name}_order", (*order, own))
    batch = None if value.axis is None else value.axis - (axis < value.axis)
    return Value(build.add(p.ArgMax, x, call.name), batch)


@lifts("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
def lift_resize(call: Call) -> Value:
    """Pixels are taken by their centres wherever that gives the same."""
    x, size = call.images(), tuple(call.integers(1))
    if len(size) != 2 or not product(size):
        raise NoPrimitiveError(f"to {size}")
    nearest = call.operator.name == "RESIZE_NEAREST_NEIGHBOR"
    known = None not in x.sizes[:2]
    if x.sizes[:2] == size:
        return x
    coordinates = "half_pixel"
    if not call.option("half_pixel_centers") or call.option("align_corners"):
        if not known:
            raise NoPrimitiveError("of a size that is known only when it runs")
        corners = bool(call.option("align_corners"))
        # A pixel that is repeated is the same whichever way it is taken.
        same = all(
            have in (1, want) or (nearest and not corners and want % have == 0)
            for have, want in zip(x.sizes, size, strict=False)
        )
        if not same:
            coordinates = "align_corners" if corners else "asymmetric"
    kind = "nearest" if nearest else "bilinear"
    x = call.build.tensor(x.tensor)
    sides = list(zip(x.shape[1:3], size, strict=True))
    factor = None
    if coordinates != "half_pixel":
        # It multiplies by matrices of both sides.
        call.charge(8 * sum(have * want for have, want in sides))
    elif nearest and known and all(want % have == 0 for have, want in sides):
        factor = tuple(want // have for have, want in sides)
    target = None if factor else size
    return Value(call.build.add(p.Resize, x, call.name, factor, target, kind, coordinates), 0)


@lifts("DEPTH_TO_SPACE")
def lift_depth_to_space(call: Call) -> Value:
    """Channels as blocks of pixels: two RESHAPE and a TRANSPOSE."""
    x, (block,) = call.images(), call.counts("block_size")
    height, width, channels = x.sizes
    product(x.sizes)
    if channels % block**2:
        raise NoPrimitiveError(f"of {channels} channels in blocks of {block}")
    rows = (height, width, block, channels // block)
    pixels = (height * block, width * block, channels // block**2)
    return _blocks(call, x, rows, pixels)


@lifts("SPACE_TO_DEPTH")
def lift_space_to_depth(call: Call) -> Value:
    """Blocks of pixels as channels: two RESHAPE and a TRANSPOSE."""
    x, (block,) = call.images(), call.counts("block_size")
    height, width, channels = x.sizes
    product(x.sizes)
    if height % block or width % block:
        raise NoPrimitiveError(f"of {list(x.shape)} in blocks of {block}")
    rows = (height // block, block, width // block, block * channels)
    return _blocks(call, x, rows, (height // block, width // block, channels * block**2))


def _blocks(call, x, rows, sizes):
    build, name = call.build, call.name
    x = build.reshape(call.build.tensor(x.tensor), (None, *rows), f"{name}_rows")
    x = build.add(p.Permute, x, f"{name}_order", (1, 3, 2, 4))
    return Value(build.reshape(x, (None, *sizes), name), 0)
