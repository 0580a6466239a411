"""The same move of numbers on fewer axes: GPUs take 4 of them, and NPUs 5.

Axes that stay side by side count as one, and those of size 1 as none.
"""

import math
from collections.abc import Sequence

# What every runtime takes.
MOST_AXES = 4


def fewer_to_transpose(
    shape: Sequence[int], order: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shape and order of a transposition with as few axes as it can have."""
    real = [axis for axis in range(len(shape)) if shape[axis] != 1]
    moved = [real.index(axis) for axis in order if shape[axis] != 1]
    groups: list[list[int]] = []
    for axis in moved:
        if groups and axis == groups[-1][-1] + 1:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    before = sorted(groups)
    sizes = tuple(math.prod(shape[real[axis]] for axis in group) for group in before)
    return sizes, tuple(before.index(group) for group in groups)


def fewer_to_slice(
    shape: Sequence[int], begin: Sequence[int], size: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Shape, begin and size of a slice: a whole axis is part of the one in front of it."""
    found: list[tuple[int, int, int]] = []
    for have, first, taken in zip(shape, begin, size, strict=True):
        if found and taken == have:
            found[-1] = tuple(number * have for number in found[-1])
        else:
            found.append((have, first, taken))
    sizes, firsts, counts = zip(*found, strict=True)
    return sizes, firsts, counts
