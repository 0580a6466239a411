"""How each primitive is written: one rule a class, for float32 and for int8."""

# They register their rules.
from care_keras.emit.rules import functions, movement, products, sums, windows  # noqa: F401
from care_keras.emit.rules.registry import find_rule, rule

__all__ = ["find_rule", "rule"]
