"""Trains a CARE classifier: `python -m care_keras.train --model=nano --data=tfds:cifar10`.

`--preset` names a whole recipe: cifar10, the default, for small images;
imagenet, the paper's; imagenet_qat, which goes on from its result for int8.
Each other flag, where it is given, takes the place of the preset's value;
`--flagfile=FILE` reads flags from a file.

A run folder holds the checkpoints, the log and the result; the same command
again goes on where the run was killed.
"""

from absl import flags

from care_keras.console import cli
from care_keras.console.options import define_flags, given
from care_keras.training.config import TrainingConfig
from care_keras.training.recipe import PRESETS, check_names, training_config

_PRESET = flags.DEFINE_enum(
    "preset",
    "cifar10",
    list(PRESETS),
    "The recipe; it has the defaults of all other flags.",
)
_MEASURE_INPUT = flags.DEFINE_bool(
    "measure_input", False, "Only print how many images per second the input pipeline makes."
)


define_flags(TrainingConfig)


def main() -> None:
    """The command."""
    config = config_of_flags()
    check_names(config)
    from care_keras.training.throughput import measure_input
    from care_keras.training.trainer import train

    (measure_input if _MEASURE_INPUT.value else train)(config)


def config_of_flags() -> TrainingConfig:
    """The `TrainingConfig` that the flags stand for.

    Raises:
        UserError: If a value is out of its range.
    """
    return training_config(_PRESET.value, given(TrainingConfig))


if __name__ == "__main__":
    cli.run(main)
