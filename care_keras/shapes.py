"""Shapes of tensors in words."""

from collections.abc import Sequence


def shape_text(shape: Sequence[int | None]) -> str:
    """A shape for a message, `"1x224x224x3"`.

    Args:
        shape: Sizes; one that is open is `None`, as Keras has it, or negative, as TFLite does.

    Returns:
        The sizes, `?` for those that are open; without axes `"a scalar"`.
    """
    sizes = ("?" if size is None or size < 0 else str(size) for size in shape)
    return "x".join(sizes) or "a scalar"
