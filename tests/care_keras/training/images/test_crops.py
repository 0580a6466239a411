import numpy as np
import pytest

from care_keras.data.preprocessing import resize
from care_keras.data.sources import open_source
from care_keras.training.images.crops import padded_crops, random_resized_crop


@pytest.fixture(scope="module")
def photos():
    """Real images of 12x10 pixels, no two alike."""
    source = open_source("bundled", "train").sample(22)
    return np.stack([resize(source[i], (12, 10), "bicubic") for i in range(22)])


def windows(image, size, padding):
    """Every crop of the padded image: bytes to (top, left)."""
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)), mode="reflect")
    return {
        padded[top : top + size[0], left : left + size[1]].tobytes(): (top, left)
        for top in range(padded.shape[0] - size[0] + 1)
        for left in range(padded.shape[1] - size[1] + 1)
    }


@pytest.mark.parametrize(("size", "padding"), [((12, 10), 4), ((8, 8), 0), ((10, 10), 0)])
def test_padded_crops_are_windows_of_the_reflected_image(photos, size, padding):
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(6):
        outputs = padded_crops(photos, rng, size, padding)
        assert outputs.shape == (len(photos), *size, 3)
        assert outputs.dtype == np.uint8
        for image, output in zip(photos, outputs, strict=True):
            draws.append(windows(image, size, padding)[output.tobytes()])
    tops, lefts = map(set, zip(*draws, strict=True))
    assert tops == set(range(12 + 2 * padding - size[0] + 1))
    assert lefts == set(range(10 + 2 * padding - size[1] + 1))


def coordinates(height, width):
    """An image whose red is the row and whose green is the column, in pixels."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.arange(height)[:, None]
    image[..., 1] = np.arange(width)
    return image


@pytest.mark.parametrize("shape", [(200, 200), (120, 240), (240, 160)])
def test_random_resized_crops_have_their_areas_and_ratios(shape):
    image = coordinates(*shape)
    rng = np.random.default_rng(1)
    shares, ratios, centres = [], [], []
    for _ in range(600):
        output = random_resized_crop(image, rng, (16, 16), interpolation="bilinear")
        assert output.shape == (16, 16, 3)
        assert output.dtype == np.uint8
        rows, columns = output[..., 0].mean(axis=1), output[..., 1].mean(axis=0)
        # The centres of the outer pixels are 15/16 of the part apart; resizing blurs them a little.
        height, width = (np.ptp(rows) + 1) * 16 / 15, (np.ptp(columns) + 1) * 16 / 15
        shares.append(height * width / image[..., 0].size)
        ratios.append(width / height)
        centres.append((rows.mean() / shape[0], columns.mean() / shape[1]))
    assert min(shares) > 0.06 and max(shares) < 1.1
    assert min(ratios) > 0.65 and max(ratios) < 1.5
    # Areas are uniform, but for those that do not fit; ratios even about 1; places everywhere.
    if shape[0] == shape[1]:
        assert np.mean(shares) == pytest.approx(0.54, abs=0.08)
    assert np.exp(np.log(ratios).mean()) == pytest.approx(1.0, abs=0.1)
    np.testing.assert_allclose(np.mean(centres, axis=0), 0.5, atol=0.03)
    assert np.min(centres) < 0.3 and np.max(centres) > 0.7


@pytest.mark.parametrize(
    ("shape", "expected"), [((10, 240), (10, 13)), ((240, 10), (13, 10)), ((1, 1), (1, 1))]
)
def test_photos_that_no_draw_fits_into_are_cut_at_their_centre(shape, expected):
    image = coordinates(*shape)
    output = random_resized_crop(
        image, np.random.default_rng(0), expected, scale=(0.9, 1.0), interpolation="nearest"
    )
    top, left = (shape[0] - expected[0]) // 2, (shape[1] - expected[1]) // 2
    part = image[top : top + expected[0], left : left + expected[1]]
    np.testing.assert_array_equal(output, part)


def test_the_whole_image_is_only_resized(photos):
    output = random_resized_crop(
        photos[0], np.random.default_rng(0), (6, 5), (1.0, 1.0), (10 / 12, 10 / 12), "bicubic"
    )
    np.testing.assert_array_equal(output, resize(photos[0], (6, 5), "bicubic"))


def test_interpolation_is_drawn_for_each_image(photos):
    whole = {"size": (6, 5), "scale": (1.0, 1.0), "ratio": (10 / 12, 10 / 12)}
    choices = {
        name: random_resized_crop(photos[0], np.random.default_rng(0), **whole, interpolation=name)
        for name in ("bilinear", "bicubic")
    }
    rng = np.random.default_rng(0)
    drawn = [
        random_resized_crop(photos[0], rng, **whole, interpolation="random") for _ in range(20)
    ]
    for expected in choices.values():
        assert any(np.array_equal(output, expected) for output in drawn)
    assert all(
        any(np.array_equal(output, expected) for expected in choices.values()) for output in drawn
    )
