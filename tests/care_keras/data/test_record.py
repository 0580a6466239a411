import pytest

from care_keras.data.record import Preprocessing, check_channels, image_places


def test_channels():
    assert Preprocessing(8, 8).channels == 3
    grey = Preprocessing.of_pixels(8, 6, channels=1)
    assert (grey.channels, grey.mean, grey.std) == (1, (0.0,), (1 / 255,))
    assert Preprocessing(**grey.to_dict()) == grey


def test_how_an_image_fits_is_said_where_it_is_not_the_old_way():
    """Records of before have no such field, and readers of before would not take it."""
    stretched = Preprocessing(8, 6, fit="stretch")
    assert stretched.to_dict()["fit"] == "stretch"
    assert Preprocessing(**stretched.to_dict()) == stretched
    cropped = Preprocessing(8, 6).to_dict()
    assert "fit" not in cropped and Preprocessing(**cropped).fit == "crop"


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((0, 0), (1, 1), "three values each, or one of grey images. Received: mean="),
        ((0,), (1, 1, 1), "three values each, or one of grey images. Received: mean="),
        ((0,), (0,), "`std` must be above 0. Received: mean="),
    ],
)
def test_values_that_fit_no_image(mean, std, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(8, 8, mean=mean, std=std)


def test_which_inputs_take_images():
    shapes = [(None, 5), (None, 8, 8, 1), (1, None, None, 3), (None, 3, 8, 8), (1, 4, 4, 3)]
    assert image_places(shapes) == [2, 4, 1]


def test_values_of_other_images():
    check_channels(1, None, (0.5,))
    with pytest.raises(ValueError, match="takes grey images: .* one value each. Received: 0,0,0.5"):
        check_channels(1, (0.0, 0.0, 0.5), None)
    with pytest.raises(ValueError, match="takes RGB images: .* three values each. Received: 2"):
        check_channels(3, None, (2.0,))


@pytest.mark.parametrize(
    "changes",
    [
        {"height": 2.5},
        {"height": "8"},
        {"width": None},
        {"width": True},
        {"height": 0},
        {"mean": "555"},
        {"mean": (0, 0, 10**400)},
        {"mean": (0, float("nan"), 0)},
        {"mean": 3},
        {"std": (1, float("inf"), 1)},
        {"std": (None, 1, 1)},
        {"mean": (0,) * 1000, "std": (1,) * 1000},
        {"crop_ratio": "1"},
        {"crop_ratio": float("nan")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_values_that_are_no_numbers(changes):
    with pytest.raises(ValueError) as error:
        Preprocessing(**{"height": 8, "width": 8} | changes)
    assert "Received: " in str(error.value) and len(str(error.value)) < 400
