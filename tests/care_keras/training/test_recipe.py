import dataclasses
import json
import pathlib

import pytest

from care_keras.console.cli import UserError
from care_keras.training.config import TrainingConfig
from care_keras.training.recipe import PRESETS, training_config


def test_the_paper_s_recipe():
    config = training_config("imagenet", {"data": "imagenet"})
    assert config.model == "s0"
    assert (config.epochs, config.warmup_epochs) == (320, 20.0)
    assert (config.learning_rate, config.batch_size, config.base_batch_size) == (2.5e-3, 1536, 1536)
    assert (config.warmup_learning_rate, config.min_learning_rate) == (1e-6, 1e-5)
    assert (config.weight_decay, config.label_smoothing, config.drop_path) == (0.05, 0.1, 0.1)
    assert config.distillation_kind == "hard"
    assert (config.crop, config.crop_scale, config.crop_ratio) == (
        "resized",
        (0.08, 1.0),
        (3 / 4, 4 / 3),
    )
    assert (config.crop_interpolation, config.flip) == ("random", True)
    assert (config.rand_augment, config.rand_augment_std, config.rand_augment_ops) == (9.0, 0.5, 2)
    assert (config.color_jitter, config.random_erasing) == (0.4, 0.25)
    assert (config.mixup, config.cutmix, config.mix_switch) == (0.8, 1.0, 0.5)


def test_small_images_are_the_default():
    config = training_config("cifar10", {})
    expected = TrainingConfig("nano", "tfds:cifar10", pathlib.Path("runs/nano"))
    assert config == expected


def test_what_is_given_takes_the_place_of_the_preset_s():
    given = {"data": "x", "model": "s2", "mixup": 0.0, "epochs": 3, "run_dir": pathlib.Path("r")}
    config = training_config("imagenet", given)
    assert {name: getattr(config, name) for name in given} == given
    assert config.cutmix == 1.0
    assert training_config("imagenet", {"data": "x"}).run_dir == pathlib.Path("runs/s0")


@pytest.mark.parametrize(
    ("given", "weight"),
    [
        ({}, 1.0),
        ({"qat": True}, 1.0),
        ({"teacher": "t.keras"}, 0.5),
        ({"teacher": "t.keras", "distillation": 0.9}, 0.9),
    ],
)
def test_how_much_the_teacher_counts(given, weight):
    assert training_config("cifar10", given).distillation == weight


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_made_of_settings(preset):
    assert PRESETS[preset].keys() <= {field.name for field in dataclasses.fields(TrainingConfig)}


def test_images_must_be_named_where_there_are_no_default_ones():
    with pytest.raises(UserError, match="--preset=imagenet_qat needs --data"):
        training_config("imagenet_qat", {})


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_trained_for_int8_goes_in_small_steps(preset):
    """Whatever float training the preset is for."""
    given = {"qat": True, "data": "x", "task": PRESETS[preset].get("task", "classification")}
    config = training_config(preset, given)
    assert (config.epochs, config.warmup_epochs, config.eval_every) == (5, 0.1, 1)
    assert config.learning_rate == (1e-4 if preset == "imagenet_qat" else 1e-5)
    assert config.base_batch_size == 0
    assert training_config(preset, {**given, "learning_rate": 0.5}).learning_rate == 0.5


def test_values_out_of_range():
    with pytest.raises(UserError, match="`crop_scale` is out of its range"):
        training_config("cifar10", {"crop_scale": (0.5, 2.0)})


def test_settings_are_json():
    given = {"float_layers": ("a*", "b"), "teacher_mean": (0.5, 0.5, 0.25)}
    values = training_config("cifar10", given).to_dict()
    assert json.loads(json.dumps(values)) == values
    assert values["crop_scale"] == "0.08,1.0"
    assert values["float_layers"] == ["a*", "b"]
    assert values["teacher_mean"] == "0.5,0.5,0.25"
