"""Imports published weights into a Keras model.

`python -m care_keras.weights --model=s0 --checkpoint=care_s0.pth.tar --output=care_s0.keras`
reads a PyTorch checkpoint (.pth, .pth.tar, .pt or .safetensors) and writes a
.keras file that returns logits. Of a wrapped checkpoint the averaged (EMA)
weights are taken where it has them.
"""

import os

from absl import flags

from care_keras.console import cli
from care_keras.weights.files import import_checkpoint

_MODEL = flags.DEFINE_string("model", None, "Name of the config: s0, s1, s2, nano.", required=True)
# What it was called before it had the name that other commands give it.
flags.DEFINE_alias("arch", "model")
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    None,
    "The PyTorch checkpoint: .pth, .pth.tar, .pt or .safetensors.",
    required=True,
)
_OUTPUT = flags.DEFINE_string("output", None, "The .keras file to write.", required=True)
_CLASSES = flags.DEFINE_integer(
    "classes",
    None,
    "Number of classes; where the checkpoint has another, its backbone gets new heads.",
    lower_bound=1,
)


def main() -> None:
    """Imports the checkpoint that the flags name, and says what was taken."""
    try:
        summary = import_checkpoint(_MODEL.value, _CHECKPOINT.value, _OUTPUT.value, _CLASSES.value)
    except OSError as error:
        # A write goes to a temporary file, whose name would tell the user nothing.
        is_read = str(error.filename) == _CHECKPOINT.value
        path = _CHECKPOINT.value if is_read else _OUTPUT.value
        raise cli.UserError(f"{path}: {error.strerror or error}") from error
    heads = f", new heads for {_CLASSES.value} classes" if summary.new_heads else ""
    print(
        f"{_OUTPUT.value}: {summary.arrays} arrays, {summary.parameters:,} parameters and "
        f"{summary.statistics:,} BatchNorm statistics{heads}, "
        f"{os.path.getsize(_OUTPUT.value) / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
