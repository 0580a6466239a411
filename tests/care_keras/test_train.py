"""The command line of training; what it runs is tested in `training/`."""

import pathlib
import shlex

import pytest
from absl import flags

from care_keras import train as command
from care_keras.console.cli import UserError
from care_keras.training.config import TrainingConfig
from care_keras.training.recipe import PRESETS
from care_keras.training.result import command_of
from care_keras.training.throughput import measure_input
from tests.care_keras.training.runs import write_images
from tests.tflite.commands import run_here

NO_SETTINGS = {"preset", "measure_input", "print_flags"}


@pytest.fixture
def parse():
    """Gives the settings that a command line stands for; flags are as before afterwards."""
    before = {name: flags.FLAGS[name].value for name in flags.FLAGS}
    parsed = flags.FLAGS.is_parsed()

    def parse(*arguments):
        flags.FLAGS.unparse_flags()
        for flag in flags.FLAGS.get_key_flags_for_module(command):
            flag.unparse()
        flags.FLAGS(["train", *arguments])
        return command.config_of_flags()

    yield parse
    for name, value in before.items():
        flags.FLAGS[name].value = value
    if not parsed:
        flags.FLAGS.unparse_flags()


def test_every_setting_is_a_flag():
    names = TrainingConfig("nano", "bundled", pathlib.Path("run")).to_dict().keys()
    key_flags = flags.FLAGS.get_key_flags_for_module(command)
    assert names | NO_SETTINGS == {flag.name for flag in key_flags}
    assert all(flag.default is None for flag in key_flags if flag.name not in NO_SETTINGS)


def test_presets_are_those_of_the_recipes():
    (preset,) = (f for f in flags.FLAGS.get_key_flags_for_module(command) if f.name == "preset")
    assert preset.parser.enum_values == list(PRESETS)


def test_defaults_are_those_of_small_images(parse):
    assert parse() == TrainingConfig("nano", "tfds:cifar10", pathlib.Path("runs/nano"))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_are_those_of_keras(parse, seed):
    with pytest.raises(flags.Error, match=f"--seed={seed}"):
        parse(f"--seed={seed}")


def test_the_command_of_a_run_gives_its_settings_again(parse):
    arguments = [
        "--preset=imagenet",
        "--data=some where",
        "--crop_scale=0.2,0.9",
        "--teacher_mean=1/2,0.4,0.3",
        "--float_layers=a*",
        "--float_layers=b",
        "--noflip",
        "--from=start.keras",
    ]
    config = parse(*arguments)
    assert config.crop_scale == (0.2, 0.9)
    assert config.teacher_mean == (0.5, 0.4, 0.3)
    assert config.float_layers == ("a*", "b")
    assert (config.flip, config.start_from, config.mixup) == (False, "start.keras", 0.8)
    assert parse(*shlex.split(command_of(config))[3:]) == config


@pytest.mark.parametrize("preset", PRESETS)
def test_printed_flags_are_a_file_of_the_same_settings(preset, parse, tmp_path):
    task = PRESETS[preset].get("task", "classification")
    arguments = [f"--preset={preset}", f"--task={task}", "--epochs=7"]
    process = run_here("care_keras.train", *arguments, "--print_flags")
    assert process.returncode == 0, process.stderr
    (tmp_path / "flags").write_text(process.stdout)
    data = PRESETS[preset].get("data", "DIR")
    expected = parse(*arguments, f"--data={data}")
    assert parse(*arguments, f"--flagfile={tmp_path / 'flags'}") == expected


def test_flags_from_a_file(parse, tmp_path):
    path = tmp_path / "flags.txt"
    path.write_text("# a comment\n--preset=imagenet\n--data=photos\n--mixup=0.3\n")
    config = parse(f"--flagfile={path}", "--epochs=2")
    assert (config.data, config.mixup, config.cutmix, config.epochs) == ("photos", 0.3, 1.0, 2)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--crop_scale=0.2", "--crop_scale must be two numbers LOW,HIGH, not '0.2'"),
        ("--crop_ratio=a,b", "--crop_ratio must be two numbers"),
        ("--crop_scale=0.5,2", "`crop_scale` is out of its range"),
        ("--teacher_mean=1,2", "--teacher_mean must be three numbers"),
        ("--teacher_std=0,1,1", "--teacher_std must be above 0"),
    ],
)
def test_values_that_cannot_be(parse, argument, message):
    with pytest.raises(UserError, match=message):
        parse(argument)


@pytest.mark.parametrize(
    ("argument", "message"),
    [("--mixup=-1", "--mixup"), ("--preset=imagenet", "--preset=imagenet needs --data")],
)
def test_bad_use_is_one_line_and_exit_code_2(argument, message):
    process = run_here("care_keras.train", argument)
    assert process.returncode == 2
    assert process.stderr.startswith("error: ") and message in process.stderr
    assert len(process.stderr.splitlines()) == 1


def test_measuring_the_input_pipeline(parse, tmp_path, capsys):
    images = write_images(tmp_path)
    config = parse(f"--data={images}", "--batch_size=8", "--preset=imagenet")
    rate = measure_input(config)
    expected = f"input pipeline {rate:,.0f} images/s of 224x224 pixels from {images / 'train'}\n"
    assert capsys.readouterr().out == expected
    assert rate > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data=no/such/folder"], "No such folder"),
        (["--data=bundled", "--model=huge"], "--model must be one of"),
    ],
)
def test_measuring_what_cannot_be(parse, arguments, message):
    with pytest.raises(UserError, match=message):
        measure_input(parse(*arguments))
