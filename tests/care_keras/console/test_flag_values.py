"""What flags mean, and how they are refused."""

import pathlib

import pytest

from care_keras.console.cli import UserError
from care_keras.console.flag_values import parse_channels, parse_counts, parse_size
from care_keras.console.outputs import output_file


@pytest.mark.parametrize(
    "value, size", [(None, None), ("224", (224, 224)), ("192x256", (192, 256)), ("8X9", (8, 9))]
)
def test_sizes(value, size):
    assert parse_size(value) == size


@pytest.mark.parametrize("value", ["", "x", "0", "12x", "1x2x3", "-3", "4.5", "0x9"])
def test_what_is_no_size(value):
    with pytest.raises(UserError, match=f"--size must be N or HxW, in pixels, not {value!r}"):
        parse_size(value)


def test_counts():
    assert parse_counts("threads", ["1", "2", "4", "2"]) == [1, 2, 4]


@pytest.mark.parametrize("values", [[], [""], ["0"], ["-1"], ["1", "x"], ["1.5"], ["²"]])
def test_what_are_no_counts(values):
    with pytest.raises(UserError, match="--threads must be numbers above 0, as 1,2,4, not "):
        parse_counts("threads", values)


def test_channels():
    assert parse_channels("mean", None) is None
    assert parse_channels("mean", ["0.5", "-1", "1/4"]) == (0.5, -1.0, 0.25)


def test_one_value_of_grey_images():
    assert parse_channels("mean", ["1/2"]) == (0.5,)


@pytest.mark.parametrize("values", [[], ["1", "2"], ["1", "2", "x"], ["1/0"], ["inf"] * 3])
def test_what_are_no_channels(values):
    with pytest.raises(UserError, match="--mean must be three .*, or one of grey images, not "):
        parse_channels("mean", values)


def test_values_for_pixels_from_0_to_255_are_divided():
    with pytest.raises(UserError, match=r"white is 1.*\(0.485,0.458,0.407\)"):
        parse_channels("mean", ["123.6", "116.7", "103.9"])


def test_a_standard_deviation_is_above_0():
    with pytest.raises(UserError, match="--std must be above 0, not '1,0,1'"):
        parse_channels("std", ["1", "0", "1"], positive=True)


def test_files_to_write(tmp_path):
    assert output_file("picture", None, (".png",)) is None
    path = tmp_path / "a.svg"
    assert output_file("picture", str(path), (".png", ".svg")) == pathlib.Path(path)


@pytest.mark.parametrize(
    "name, message",
    [
        ("a.txt", "--picture must end in .png or .svg, not"),
        ("folder.png", "--picture=.*folder.png is a folder"),
        ("none/a.png", "--picture: there is no folder .*none"),
    ],
)
def test_files_that_cannot_be_written(tmp_path, name, message):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match=message):
        output_file("picture", str(tmp_path / name), (".png", ".svg"))
