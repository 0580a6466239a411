"""Operations that move codes and change none."""

import numpy as np

from care_keras.reference.operation import kernel


@kernel("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
def _reshape(operation):
    operation.check_same_codes()
    shape = operation.output.shape
    # Images lie one after the other: however many there are, only the first axis grows.
    return lambda x: x.reshape(-1, *shape[1:])


@kernel("TRANSPOSE")
def _transpose(operation):
    operation.check_same_codes()
    order = tuple(int(axis) for axis in operation.constant(1))
    return lambda x: x.transpose(order)


@kernel("SPACE_TO_DEPTH")
def _space_to_depth(operation):
    operation.check_same_codes()
    size = operation.options["block_size"]
    _, height, width, channels = operation.output.shape
    shape = (-1, height, size, width, size, channels // size**2)

    def run(x):
        # A block's pixels, row by row, lie one after the other among the channels.
        return x.reshape(shape).transpose(0, 1, 3, 2, 4, 5).reshape(-1, height, width, channels)

    return run


@kernel("DEPTH_TO_SPACE")
def _depth_to_space(operation):
    operation.check_same_codes()
    size = operation.options["block_size"]
    _, height, width, channels = operation.output.shape
    shape = (-1, height // size, width // size, size, size, channels)

    def run(x):
        return x.reshape(shape).transpose(0, 1, 3, 2, 4, 5).reshape(-1, height, width, channels)

    return run


@kernel("CONCATENATION")
def _concatenation(operation):
    operation.check_same_codes()
    axis = operation.options["axis"]
    return lambda *arrays: np.concatenate(operation.operands(arrays), axis)


@kernel("SLICE")
def _slice(operation):
    operation.check_same_codes()
    begin, size = (operation.constant(index).tolist() for index in (1, 2))
    sizes = zip(begin, size, operation.inputs[0].shape, strict=True)
    return _take(
        [slice(b, n if s == -1 else b + s) for b, s, n in sizes], operation.inputs[0].shape
    )


@kernel("STRIDED_SLICE")
def _strided_slice(operation):
    operation.check_same_codes()
    options = operation.options
    if any(options[f"{kind}_mask"] for kind in ("ellipsis", "new_axis", "shrink_axis")):
        operation.refuse("it makes or drops axes")
    begin, end, stride = (operation.constant(index).tolist() for index in (1, 2, 3))
    shape = operation.inputs[0].shape
    slices = []
    for axis, (b, e, s, n) in enumerate(zip(begin, end, stride, shape, strict=True)):
        first = None if options["begin_mask"] >> axis & 1 else b
        last = None if options["end_mask"] >> axis & 1 else b + e if options.get("offset") else e
        slices.append(slice(*slice(first, last, s).indices(n)))
    return _take(slices, shape)


def _take(slices, shape):
    """A part of an array; the whole first axis, if it is that, however many images it holds."""
    if slices[0] == slice(0, shape[0]) or slices[0] == slice(0, shape[0], 1):
        slices[0] = slice(None)
    slices = tuple(slices)
    return lambda x: np.ascontiguousarray(x[slices])


@kernel("SPLIT")
def _split(operation):
    operation.check_same_codes()
    axis = int(operation.constant(0).reshape(-1)[0])
    return lambda x: np.split(x, len(operation.outputs), axis)


@kernel("SPLIT_V")
def _split_v(operation):
    operation.check_same_codes()
    axis = int(operation.constant(2).reshape(-1)[0])
    rank = len(operation.inputs[0].shape)
    # One size may be left open in the file's constant, and is known of the output.
    ends = np.cumsum([x.shape[axis % rank] for x in operation.outputs])[:-1]
    return lambda x: [np.ascontiguousarray(part) for part in np.split(x, ends, axis)]


@kernel("PACK")
def _pack(operation):
    operation.check_same_codes()
    axis = operation.options["axis"]
    return lambda *arrays: np.stack(operation.operands(arrays), axis)


@kernel("UNPACK")
def _unpack(operation):
    operation.check_same_codes()
    axis = operation.options["axis"]

    def run(x):
        parts = [np.ascontiguousarray(part) for part in np.moveaxis(x, axis, 0)]
        return parts if len(parts) > 1 else parts[0]

    return run


@kernel("GATHER")
def _gather(operation):
    operation.check_same_codes()
    options = operation.options
    if not operation.inputs[0].is_constant or options["axis"] or options["batch_dims"]:
        operation.refuse("it takes entries of something else than a constant's first axis")
    entries = operation.constant(0)

    def run(places):
        if places.min(initial=0) < 0 or places.max(initial=0) >= len(entries):
            raise ValueError(
                f"LiteRT's GATHER fails on a place outside of the {len(entries)} there are. "
                f"Received: {places.min()} to {places.max()}"
            )
        return entries[places]

    return run


@kernel("PAD", "PADV2")
def _pad(operation):
    operation.check_same_codes()
    padding = [tuple(pair) for pair in operation.constant(1).tolist()]
    if operation.name == "PAD":
        code = operation.zero_point(operation.output)
    else:
        code = operation.constant(2).item()
    return lambda x: np.pad(x, padding, constant_values=x.dtype.type(code))
