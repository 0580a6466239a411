"""Trains CARE models: `python -m care_keras.train --model=nano --data=tfds:cifar10`.

`--task` says what for: classification, the default, segmentation or detection.
`--preset` names a whole recipe: cifar10, the default, for small images;
imagenet, the paper's; imagenet_qat, which goes on from its result for int8;
segmentation and detection, from scratch on small images; ade20k_40k and
coco_1x, the protocols that figures beside CARE's are published for.
Each other flag, where it is given, takes the place of the preset's value;
`--flagfile=FILE` reads flags from a file; `--print_flags` prints such a file: every
flag with the value that it would have.

A run folder holds the checkpoints, the log and the result; the same command
again goes on where the run was killed.
"""

from absl import flags

from care_keras.console import cli
from care_keras.console.options import define_flags, given
from care_keras.training.config import TASK_PRESETS, TrainingConfig
from care_keras.training.recipe import PRESETS, check_names, training_config

_PRESET = flags.DEFINE_enum(
    "preset",
    None,
    list(PRESETS),
    "The recipe; it has the defaults of all other flags (default: cifar10; of another --task: the "
    "one of its name).",
)
_MEASURE_INPUT = flags.DEFINE_bool(
    "measure_input", False, "Only print how many images per second the input pipeline makes."
)
_PRINT_FLAGS = flags.DEFINE_bool(
    "print_flags", False, "Only print all flags with their values, as --flagfile takes them."
)


define_flags(TrainingConfig)


def main() -> None:
    """The command."""
    if _PRINT_FLAGS.value:
        print("\n".join(config_of_flags(data="DIR").to_arguments()))
        return
    config = config_of_flags()
    check_names(config)
    from care_keras.training.throughput import measure_input
    from care_keras.training.trainer import train

    (measure_input if _MEASURE_INPUT.value else train)(config)


def config_of_flags(**defaults) -> TrainingConfig:
    """The `TrainingConfig` that the flags stand for.

    Args:
        **defaults: What settings are that neither a flag nor the preset gives.

    Raises:
        UserError: If a value is out of its range.
    """
    settings = given(TrainingConfig)
    preset = _PRESET.value or TASK_PRESETS[settings.get("task", "classification")]
    for name in defaults.keys() - PRESETS[preset].keys():
        settings.setdefault(name, defaults[name])
    return training_config(preset, settings)


if __name__ == "__main__":
    cli.run(main)
