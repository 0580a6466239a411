"""Who writes an operation of a model into a file.

A rule takes the emitter, the layer and the handles of its inputs, and returns
the handle of its output. What the tensors of a rule hold, float32 or int8,
decides the form it writes.
"""

from collections.abc import Callable

RULES: dict[type, Callable] = {}


def rule(*primitives: type) -> Callable:
    """Registers a rule for classes and their subclasses."""

    def register(function):
        RULES.update(dict.fromkeys(primitives, function))
        return function

    return register


def find_rule(layer) -> Callable | None:
    """The rule of a layer's class or of its nearest base, or `None`."""
    return next((RULES[base] for base in type(layer).__mro__ if base in RULES), None)
