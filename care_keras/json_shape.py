"""What JSON of anyone's has to hold before it is used: its shape, as plain Python.

A shape is a dict (these keys at least; one that ends in `?` may be missing), a list (of values
that all have the one shape in it), or a function that says whether it takes a value.
"""

from collections.abc import Callable
from typing import Any

Shape = dict | list | Callable[[Any], bool]

# Beyond it no figure of ours means anything, and sums of squares would overflow.
_LARGEST = 1e100


def misfit(value: object, shape: Shape, place: str = "") -> str | None:
    """The first place where a value has not the shape, `"models[0].label"`; `None` if it has.

    Args:
        value: Parsed JSON.
        shape: What it shall be.
        place: Name of the value, for what is inside of it.
    """
    if isinstance(shape, dict):
        return _misfit_in_object(value, shape, place)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return place or "it"
        found = (misfit(one, shape[0], f"{place}[{i}]") for i, one in enumerate(value))
        return next(filter(None, found), None)
    return None if shape(value) else place or "it"


def _misfit_in_object(value, shape, place):
    if not isinstance(value, dict):
        return place or "it"
    for key, inner in shape.items():
        name = key.removesuffix("?")
        inside = f"{place}.{name}" if place else name
        if name not in value:
            if key.endswith("?"):
                continue
            return inside
        if found := misfit(value[name], inner, inside):
            return found
    return None


def text(value: object) -> bool:
    """A text that can be written: JSON can hold halves of characters."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def whole(value: object) -> bool:
    """A whole number that arrays hold."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53


def number(value: object) -> bool:
    """A finite number."""
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and abs(value) < _LARGEST


def positive(value: object) -> bool:
    """A number above 0, and not so small that 1 over it is none."""
    return number(value) and value > 1 / _LARGEST


def anything(value: object) -> bool:
    """Whatever there is."""
    return True


def maybe(shape: Shape) -> Callable[[Any], bool]:
    """That, or null."""
    return lambda value: value is None or misfit(value, shape) is None


def each(shape: Shape) -> Callable[[Any], bool]:
    """An object whose values all are that, under keys that can be written."""
    return lambda value: (
        isinstance(value, dict)
        and all(text(key) and misfit(one, shape) is None for key, one in value.items())
    )
