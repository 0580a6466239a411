"""Trains a CARE classifier: `python -m care_keras.train --model=nano --data=tfds:cifar10`.

`--preset` names a whole recipe: cifar10, the default, for small images;
imagenet, the paper's; imagenet_qat, which goes on from its result for int8.
Each other flag, where it is given, takes the place of the preset's value;
`--flagfile=FILE` reads flags from a file.

A run folder holds the checkpoints, the log and the result; the same command
again goes on where the run was killed.
"""

import dataclasses
import pathlib

from absl import flags

from care_keras.console import cli
from care_keras.console.flag_values import parse_channels
from care_keras.training.config import TrainingConfig
from care_keras.training.devices.distribution import DISTRIBUTIONS
from care_keras.training.images.augmentation import CROPS, INTERPOLATIONS
from care_keras.training.recipe import PRESETS, training_config
from care_keras.training.teaching.distillation import KINDS

_PRESET = flags.DEFINE_enum(
    "preset",
    "cifar10",
    list(PRESETS),
    "The recipe; it has the defaults of all other flags.",
)
_MEASURE_INPUT = flags.DEFINE_bool(
    "measure_input", False, "Only print how many images per second the input pipeline makes."
)


def _text(name, text):
    flags.DEFINE_string(name, None, text)


def _bool(name, text):
    flags.DEFINE_bool(name, None, text)


def _integer(name, low, text):
    flags.DEFINE_integer(name, None, text, lower_bound=low)


def _number(name, low, high, text):
    flags.DEFINE_float(name, None, text, lower_bound=low, upper_bound=high)


def _numbers(name, text):
    flags.DEFINE_list(name, None, text)


def _choice(name, values, text):
    flags.DEFINE_enum(name, None, values, text)


# What is trained, and on what.
_text("model", "Name of the config: s0, s1, s2, nano, or of an ablation.")
_text("data", "tfds:NAME, a folder of class folders, bundled.")
_text("train_split", "Split to train on.")
_text("eval_split", "Split to evaluate on; never trained on.")
_text("from", "A .keras file whose weights the run starts from.")
_integer("seed", None, "Seed of weights, order and augmentation.")
_integer("epochs", 1, "Epochs in all, with those of the warm-up.")
_integer("batch_size", 1, "Images per step, of all devices together.")
_integer("eval_every", 1, "Epochs between evaluations.")
_text("run_dir", "Folder of the run (default: runs/MODEL).")

# Optimizer: AdamW.
_number("learning_rate", 0.0, None, "Peak learning rate.")
_integer(
    "base_batch_size",
    0,
    "The images per update that --learning_rate is for: it is scaled linearly to those of "
    "--batch_size and --gradient_accumulation_steps. 0: not scaled.",
)
_number("warmup_epochs", 0.0, None, "Epochs of linear warm-up.")
_number("warmup_learning_rate", 0.0, None, "Rate that the warm-up starts at; 0: 1/100 of its end.")
_number("min_learning_rate", 0.0, None, "Rate that the cosine ends at.")
_number("weight_decay", 0.0, None, "Decoupled decay of conv and dense kernels.")
_number("clipnorm", 0.0, None, "Largest norm of each gradient; 0: any.")
_number("global_clipnorm", 0.0, None, "Largest norm of all gradients together; 0: any.")
_number("clipvalue", 0.0, None, "Largest absolute value in a gradient; 0: any.")
_integer("gradient_accumulation_steps", 1, "Steps whose gradients are averaged for one update.")
_number(
    "ema_momentum",
    0.0,
    0.999999,
    "Momentum of moving averages of the weights, which are then evaluated and saved; 0: none.",
)
_choice("dtype", ["float32", "mixed_bfloat16", "mixed_float16"], "Precision of the computation.")

# Regularization and augmentation.
_number("label_smoothing", 0.0, 0.99, "Label smoothing.")
_number("drop_path", 0.0, 0.99, "Stochastic depth at the last block.")
_choice(
    "crop",
    CROPS,
    "Random crops: of the padded image, or of any size and then resized.",
)
_numbers("crop_scale", "LOW,HIGH: share of the photo's area in a resized crop.")
_numbers("crop_ratio", "LOW,HIGH: width / height of a resized crop.")
_choice(
    "crop_interpolation",
    INTERPOLATIONS,
    "Of a resized crop; random: bilinear or bicubic.",
)
_bool("flip", "Mirror half of the images.")
_number("rand_augment", 0.0, 10.0, "Magnitude of RandAugment; 0: off.")
_number("rand_augment_std", 0.0, None, "Standard deviation of that magnitude.")
_integer("rand_augment_ops", 1, "RandAugment's operations per image.")
_number(
    "color_jitter",
    0.0,
    0.99,
    "Largest relative change of brightness, contrast and saturation; nothing, as in timm, where "
    "RandAugment is on.",
)
_number("random_erasing", 0.0, 1.0, "Share of images with a rectangle of noise in them.")
_number("mixup", 0.0, None, "Alpha of mixup; 0: off.")
_number("cutmix", 0.0, 1.0, "Alpha of CutMix; 0: off.")
_number("mix_switch", 0.0, 1.0, "Where both are on: share of CutMix.")
_integer("low_resolution", 0, "Size of the images in the first epochs, where steps are cheaper.")
_integer("low_resolution_epochs", 0, "How many epochs train on images of --low_resolution.")

# Distillation.
_text("teacher", "A .keras file that teaches the distillation head.")
_text("teacher_size", "N or HxW: size of the teacher's images, if its file does not say.")
_numbers("teacher_mean", "R,G,B in units of full scale: likewise.")
_numbers("teacher_std", "R,G,B: likewise.")
_choice("distillation_kind", KINDS, "Learn the teacher's best class or its distribution.")
_number(
    "distillation",
    0.0,
    1.0,
    "Weight of the teacher against that of the labels (default: 0.5; with --qat, where the float "
    "model is the teacher, 1).",
)
_number("distillation_temperature", 0.001, None, "Of soft distillation.")

# Quantization-aware training.
_bool("qat", "Train the quantized form of --from, for int8.")
flags.DEFINE_multi_string(
    "float_layers",
    None,
    "With --qat: layers, by a shell pattern of their names, that stay in float32.",
)
flags.DEFINE_multi_string("int16_layers", None, "Likewise, layers that get 16-bit activations.")

# How it is run.
_integer("checkpoint_steps", 0, "Steps between checkpoints within an epoch; 0: none within.")
_bool("tensorboard", "Write a log for TensorBoard.")
_integer("cache_megabytes", 0, "Decoded images are kept in memory if all fit in this.")
_choice(
    "distribute",
    DISTRIBUTIONS,
    "Devices to train on: one; all there are; by JAX (data_parallel); by TensorFlow, of this "
    "process (mirrored) or of all workers in TF_CONFIG (multi_worker).",
)
_bool(
    "sync_batch_norm",
    "With --distribute under TensorFlow: statistics of BatchNorm over the whole batch, not over "
    "each device's share. Under JAX they always are.",
)
_text(
    "coordinator_address",
    "With --distribute=data_parallel on several hosts: HOST:PORT of process 0.",
)
_integer("num_processes", 0, "Likewise, the number of processes.")
_integer("process_id", -1, "Likewise, the number of this process, from 0.")


def main() -> None:
    """The command."""
    from care_keras.training.throughput import measure_input
    from care_keras.training.trainer import train

    config = config_of_flags()
    (measure_input if _MEASURE_INPUT.value else train)(config)


def config_of_flags() -> TrainingConfig:
    """The `TrainingConfig` that the flags stand for.

    Raises:
        UserError: If a value is out of its range.
    """
    return training_config(_PRESET.value, _given())


def _given():
    """Fields of `TrainingConfig` whose flags were given."""
    given = {}
    for field in dataclasses.fields(TrainingConfig):
        flag = "from" if field.name == "start_from" else field.name
        value = flags.FLAGS[flag].value
        if value is not None:
            given[field.name] = _PARSERS.get(field.name, lambda flag, value: value)(flag, value)
    return given


def _range(flag, values):
    try:
        low, high = map(float, values)
    except ValueError as error:
        raise cli.UserError(
            f"--{flag} must be two numbers LOW,HIGH, not {','.join(values)!r}"
        ) from error
    return low, high


def _channels(flag, values):
    return parse_channels(flag, values, positive=flag == "teacher_std") if values else ()


_PARSERS = {
    "run_dir": lambda flag, value: pathlib.Path(value),
    "crop_scale": _range,
    "crop_ratio": _range,
    "teacher_mean": _channels,
    "teacher_std": _channels,
    "float_layers": lambda flag, values: tuple(values),
    "int16_layers": lambda flag, values: tuple(values),
}


if __name__ == "__main__":
    cli.run(main)
