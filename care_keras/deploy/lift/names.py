"""Names of a file's tensors as Keras takes them."""

import re

# Layers of a name that is longer are hard to read, and names of fused operators have no end.
_LONGEST = 120


def keras_name(name: str) -> str:
    """A name that Keras takes for a layer.

    Converters join the names of operators that they make one of by `;`: the
    first stands for all.
    """
    first = re.sub(r"[^A-Za-z0-9_.-]+", "_", name.partition(";")[0])[-_LONGEST:]
    # A name scope of TensorFlow's begins with a letter or a digit.
    return re.sub(r"^[^A-Za-z0-9]+", "", first).rstrip("_") or "tensor"


class Names:
    """Names, each given once."""

    def __init__(self):
        self._given = {}

    def unique(self, name: str) -> str:
        """`keras_name`, with a number if it was given before."""
        name = wanted = keras_name(name)
        while name in self._given:
            # Counted, so that a file of one name for all takes no square of its length.
            self._given[wanted] += 1
            name = f"{wanted}_{self._given[wanted]}"
        self._given[name] = 0
        return name
