"""PAD, and what converters write in front of a pooling that pads by itself elsewhere."""

from care_keras import primitives as p
from care_keras.deploy.lift.registry import Call, lifts, product
from care_keras.deploy.lift.values import Value
from care_keras.deploy.lowering import NoPrimitiveError
from care_keras.primitives.fused_activation import LIMITS, FusedActivation

# A number that is less is one that no maximum takes.
_LEAST = -1e30


@lifts("PAD", "PADV2")
def lift_pad(call: Call) -> Value:
    """PAD with zeros; with the least number, if a maximum follows."""
    x, pairs = call.value(), call.constant(1)
    numbers = call.integers(1)
    if pairs.shape != (len(x.shape), 2) or None in numbers or min(numbers, default=0) < 0:
        raise NoPrimitiveError(f"of {list(x.shape)} by {numbers}")
    pairs = [tuple(pair) for pair in pairs.tolist()]
    if x.axis is not None and any(pairs[x.axis]):
        raise NoPrimitiveError("of the images of a batch")
    own = [pair for axis, pair in enumerate(pairs) if axis != x.axis]
    if not any(map(any, own)):
        return x
    tensor = call.build.tensor(x.tensor)
    value = float(call.weights(2).reshape(-1)[0]) if call.has(2) else 0.0
    hidden = call.readers is not None and all(_takes_maximum(r, pairs) for r in call.readers)
    if value and not (value < _LEAST and hidden):
        raise NoPrimitiveError(f"with {value:g}")
    if value and not _is_positive(call.build.product_behind(tensor)):
        return Value(_with_borders(call, tensor, own), x.axis)
    return Value(call.build.add(p.Pad, tensor, call.name, own), x.axis)


def _takes_maximum(operator, pairs):
    """Whether each of its windows has a number of the image's own."""
    options = operator.options
    windows = options.get("filter_height", 0), options.get("filter_width", 0)
    return (
        operator.name == "MAX_POOL_2D"
        and options.get("padding") == "VALID"
        and len(pairs) == 4
        and not any((*pairs[0], *pairs[3]))
        and all(max(pair) < size for pair, size in zip(pairs[1:3], windows, strict=True))
    )


def _is_positive(layer):
    """Whether a layer gives no number below 0, so that 0 is as good as the least one."""
    if isinstance(layer, FusedActivation):
        return LIMITS[layer.activation][0] == 0.0
    low = layer.low if isinstance(layer, p.Clip) else None
    return isinstance(layer, p.Sigmoid) or (low is not None and low >= 0.0)


def _with_borders(call, x, pairs):
    """The first and the last rows and columns repeated: a maximum has seen them already."""
    product(x.shape[1:3])
    for axis, (before, behind) in list(enumerate(pairs, 1))[:2]:
        name = f"{call.name}_{'rows' if axis == 1 else 'columns'}"
        parts = [x]
        if before:
            parts = [_place(call, x, axis, 0, f"{name}_first")] * before + parts
        if behind:
            last = x.shape[axis] - 1
            parts += [_place(call, x, axis, last, f"{name}_last")] * behind
        if len(parts) > 1:
            x = call.build.add(p.Concatenate, parts, name, axis - 4)
    return x


def _place(call, x, axis, place, name):
    begin, end = [0, 0, 0], [None, None, None]
    begin[axis - 1], end[axis - 1] = place, place + 1
    return call.build.add(p.Slice, x, name, begin, end)
