"""Which part of a tensor a STRIDED_SLICE takes, in the words of Python."""

import dataclasses

from care_keras.deploy.lowering import NoPrimitiveError


@dataclasses.dataclass(frozen=True)
class Part:
    """What a STRIDED_SLICE takes.

    Attributes:
        slices: One for each axis, with positive steps.
        dropped: Axes of which one place is taken, and which are no more.
        added: Places of new axes of size 1 among those of the result.
    """

    slices: list[slice]
    dropped: set[int]
    added: list[int]


def strided_part(shape, begin, end, strides, options) -> Part:
    """What the operator takes of a tensor.

    Args:
        shape: Of the tensor, `None` for a size that is open.
        begin: First place of each axis.
        end: Place behind the last one.
        strides: Steps.
        options: Of the operator: its masks.

    Raises:
        NoPrimitiveError: If it runs backwards, or is told no numbers.
    """
    if not len(begin) == len(end) == len(strides) or None in (*begin, *end, *strides):
        raise NoPrimitiveError("with places that are known only when it runs")

    def has(mask, place):
        return bool(options.get(f"{mask}_mask", 0) >> place & 1)

    places = range(len(begin))
    new = [has("new_axis", i) and not has("ellipsis", i) for i in places]
    rest = [i for i in places if has("ellipsis", i)]
    own = sum(not new[i] and i not in rest for i in places)
    if len(rest) > 1 or own > len(shape):
        raise NoPrimitiveError(f"of {own} axes of {list(shape)}")
    slices, dropped, added, kept = [], set(), [], 0
    for i in places:
        if i in rest:
            missing = len(shape) - own
            slices += [slice(None)] * missing
            kept += missing
        elif new[i]:
            added.append(kept)
            kept += 1
        elif strides[i] < 1:
            raise NoPrimitiveError("that runs backwards")
        elif has("shrink_axis", i):
            if has("begin", i):
                raise NoPrimitiveError("of a place that it is told not to heed")
            dropped.add(len(slices))
            slices.append(slice(begin[i], begin[i] + 1 if begin[i] != -1 else None))
        else:
            slices.append(_slice(i, begin, end, strides, options, has))
            kept += 1
    slices += [slice(None)] * (len(shape) - len(slices))
    return Part(slices, dropped, added)


def _slice(place, begin, end, strides, options, has):
    first = None if has("begin", place) else begin[place]
    last = None if has("end", place) else end[place]
    if options.get("offset") and last is not None:
        last += begin[place]
    return slice(first, last, strides[place])
