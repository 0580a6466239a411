"""Recipes: settings that belong together, each by the name that `--preset` takes."""

import pathlib
from collections.abc import Mapping

from care_keras.console.cli import UserError
from care_keras.data.sources import check_source
from care_keras.models.ablations import CONFIGS, names_of_models
from care_keras.models.config import CAREConfig
from care_keras.models.presets import check_name_or_path
from care_keras.training.config import TrainingConfig

# How much a teacher counts, if nothing else is said: the paper's share for a model that learns
# labels too; quantization-aware training is best taught by the float model alone.
_DISTILLATION = 0.5
_DISTILLATION_QAT = 1.0

# The paper's, arXiv 2411.16170, with what its training code leaves at timm's defaults: averages of
# the weights and clipping are off there. 300 epochs of the cosine follow those of the warm-up.
_IMAGENET = {
    "model": "s0",
    "epochs": 320,
    "batch_size": 1536,
    "learning_rate": 2.5e-3,
    "base_batch_size": 1536,
    "warmup_epochs": 20.0,
    "warmup_learning_rate": 1e-6,
    "min_learning_rate": 1e-5,
    "weight_decay": 0.05,
    "label_smoothing": 0.1,
    "drop_path": 0.1,
    "crop": "resized",
    "crop_scale": (0.08, 1.0),
    "crop_interpolation": "random",
    "flip": True,
    "rand_augment": 9.0,
    "rand_augment_std": 0.5,
    "color_jitter": 0.4,
    "random_erasing": 0.25,
    "mixup": 0.8,
    "cutmix": 1.0,
    "mix_switch": 0.5,
    "distillation_kind": "hard",
}

# A short training of the quantized form by the float model, on images little changed.
_IMAGENET_QAT = {
    "model": "s0",
    "qat": True,
    "epochs": 5,
    "batch_size": 256,
    "learning_rate": 1e-4,
    "warmup_epochs": 0.1,
    "crop": "resized",
    "crop_scale": (0.35, 1.0),
    "crop_interpolation": "random",
}

# What quantization-aware training takes where nothing else is said: it goes on from a trained
# model, in steps that are small beside kernels that a BatchNorm was folded into (with 1e-4
# EfficientNet-Lite0's accuracy on its training images fell from 84 to 75 % in an epoch).
_QAT = {
    "epochs": 5,
    "learning_rate": 1e-5,
    "base_batch_size": 0,
    "warmup_epochs": 0.1,
    "eval_every": 1,
}

# How backbones like CARE are compared on ADE20K: Semantic FPN, 40,000 steps of 32 images, from
# ImageNet's weights (--from). PoolFormer's and RepViT's protocol, arXiv 2111.11418 and 2307.09283;
# the CARE authors have published none. 20,210 images make 631 steps an epoch, 63.4 epochs in all.
_ADE20K = {
    "task": "segmentation",
    "head": "paper",
    "model": "s2",
    "size": "512",
    "first_class": 1,
    "train_split": "training",
    "eval_split": "validation",
    "epochs": 63,
    "eval_every": 7,
    "batch_size": 32,
    "learning_rate": 2e-4,
    "schedule": "poly",
    "warmup_epochs": 0.0,
    "weight_decay": 1e-4,
    "drop_path": 0.1,
    "scale_range": (0.5, 2.0),
    "color_jitter": 0.4,
}

# Likewise on COCO, twelve epochs of AdamW from ImageNet's weights. Theirs is a Mask R-CNN at
# 1333x800, which no phone runs; this is the one-stage detector at 512x512.
_COCO = {
    "task": "detection",
    "head": "paper",
    "levels": (3, 4, 5, 6, 7),
    "model": "s1",
    "size": "512",
    "train_split": "train2017",
    "eval_split": "val2017",
    "epochs": 12,
    "batch_size": 16,
    "learning_rate": 2e-4,
    "schedule": "step",
    "warmup_epochs": 0.07,
    "weight_decay": 0.05,
    "drop_path": 0.1,
    "scale_range": (1.0, 1.0),
}

# From scratch on some hundred images, small enough for two cores.
_SMALL = {
    "model": "xs",
    "epochs": 100,
    "batch_size": 16,
    "learning_rate": 1e-3,
    "warmup_epochs": 2.0,
    "weight_decay": 0.05,
    "eval_every": 5,
    "color_jitter": 0.3,
}

PRESETS: Mapping[str, Mapping] = {
    "cifar10": {"model": "nano", "data": "tfds:cifar10"},
    "imagenet": _IMAGENET,
    "imagenet_qat": _IMAGENET_QAT,
    "segmentation": {**_SMALL, "task": "segmentation"},
    # Boxes that fill the image or are a tenth of it would be rare where they are tested.
    "detection": {**_SMALL, "task": "detection", "scale_range": (0.8, 1.5)},
    "ade20k_40k": _ADE20K,
    "coco_1x": _COCO,
}


def training_config(preset: str, given: Mapping) -> TrainingConfig:
    """The settings of a run: those given, else the preset's, else the defaults.

    Args:
        preset: One of `PRESETS`.
        given: Fields of `TrainingConfig` with their values.

    Raises:
        UserError: If there is no data, or a value is out of its range.
    """
    preset_settings = PRESETS[preset]
    # A preset that is itself for int8 knows its own; all others are for training float models.
    is_for_float = given.get("qat") and not preset_settings.get("qat")
    settings = {**preset_settings, **(_QAT if is_for_float else {}), **given}
    task = preset_settings.get("task", "classification")
    if settings.get("task", "classification") != task:
        raise UserError(f"--preset={preset} is for --task={task}, not {settings['task']}")
    if "data" not in settings:
        raise UserError(f"--preset={preset} needs --data, a folder or tfds:NAME")
    name = settings["model"]
    if settings.get("qat") and settings.get("start_from"):
        name = f"{pathlib.Path(settings['start_from']).stem}_qat"
    if task != "classification":
        name = f"{name}_{task}"
    settings.setdefault("run_dir", pathlib.Path(f"runs/{name}"))
    taught = bool(settings.get("teacher"))
    settings.setdefault("distillation", _DISTILLATION if taught else _DISTILLATION_QAT)
    try:
        return TrainingConfig(**settings)
    except ValueError as error:
        raise UserError(str(error)) from error


def model_config(config: TrainingConfig) -> CAREConfig:
    """The config that `--model` names.

    Raises:
        UserError: If there is none.
    """
    if config.model not in CONFIGS:
        raise UserError(f"--model must be {names_of_models()}, not {config.model!r}")
    return CONFIGS[config.model]


def check_names(config: TrainingConfig) -> None:
    """Looks for what the settings name, before anything heavy is loaded.

    Raises:
        UserError: If the model, the images or a file are not there.
    """
    model_config(config)
    try:
        if config.task == "classification":
            check_source(config.data)
        for name in filter(None, (config.start_from, config.teacher)):
            check_name_or_path(name)
    except ValueError as error:
        raise UserError(str(error)) from error
