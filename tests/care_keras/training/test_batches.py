import numpy as np
import pytest

from care_keras.data.preprocessing import normalize, resize_and_crop
from care_keras.data.sources import open_source
from care_keras.models import Preprocessing
from care_keras.training.batches import (
    EvaluationBatches,
    TrainingBatches,
    flip_and_crop,
    load_pixels,
)

PREPROCESSING = Preprocessing(height=12, width=10, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


@pytest.fixture(scope="module")
def photos():
    """Real images of 12x10 pixels, no two alike."""
    return load_pixels(open_source("bundled", "train").sample(22), PREPROCESSING)


def windows(image, size, padding):
    """Every crop of the padded image and of its mirror image: bytes to (mirrored, top, left)."""
    found = {}
    for mirrored in (False, True):
        given = image[:, ::-1] if mirrored else image
        padded = np.pad(given, ((padding, padding), (padding, padding), (0, 0)), mode="reflect")
        for top in range(padded.shape[0] - size[0] + 1):
            for left in range(padded.shape[1] - size[1] + 1):
                window = padded[top : top + size[0], left : left + size[1]]
                found[window.tobytes()] = (mirrored, top, left)
    return found


@pytest.mark.parametrize(
    ("size", "cropped", "padding"), [(None, (12, 10), 4), (8, (8, 8), 0), (10, (10, 10), 0)]
)
def test_crops_are_windows_of_the_reflected_image(photos, size, cropped, padding):
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(4):
        outputs = flip_and_crop(photos, rng, size)
        assert outputs.shape == (len(photos), *cropped, 3)
        assert outputs.dtype == np.uint8
        for image, output in zip(photos, outputs, strict=True):
            places = windows(image, cropped, padding)
            assert output.tobytes() in places
            draws.append(places[output.tobytes()])
    mirrored, tops, lefts = map(set, zip(*draws, strict=True))
    assert mirrored == {False, True}
    assert tops == set(range(12 + 2 * padding - cropped[0] + 1))
    assert lefts == set(range(10 + 2 * padding - cropped[1] + 1))


def numbered(count=22, batch_size=4, **kwargs):
    """Image i is of the one value i, its label 100 + i; so crops leave it recognizable."""
    pixels = (
        np.zeros((count, 12, 10, 3), np.uint8)
        + np.arange(count, dtype=np.uint8)[:, None, None, None]
    )
    labels = 100 + np.arange(count)
    arguments = {"seed": 5, **kwargs}
    return TrainingBatches(pixels, labels, PREPROCESSING, batch_size, **arguments)


def numbers_of(images):
    """The `i` of each normalized image."""
    first = images[:, 0, 0, 0] * PREPROCESSING.std[0] + PREPROCESSING.mean[0]
    return np.rint(first * 255).astype(int)


def test_labels_follow_their_images():
    batches = numbered()
    seen = []
    for index in range(len(batches)):
        images, labels = batches[index]
        np.testing.assert_array_equal(labels, 100 + numbers_of(images))
        assert (images.dtype, labels.dtype) == (np.float32, np.int32)
        seen += labels.tolist()
    # Five full batches of 22 images, none of them twice.
    assert len(seen) == len(set(seen)) == 20


def order_of(batches):
    return [numbers_of(batches[index][0]).tolist() for index in range(len(batches))]


def test_order_depends_on_seed_and_epoch():
    first, twin, other = numbered(), numbered(), numbered(seed=6)
    assert order_of(first) == order_of(twin) != order_of(other)
    first_epoch = order_of(first)
    first.on_epoch_end()
    assert order_of(first) != first_epoch
    assert order_of(first) == order_of(numbered(first_epoch=1))


@pytest.mark.parametrize("size", [None, 8])
def test_a_batch_depends_on_seed_epoch_and_index_alone(photos, size):
    def batches(**kwargs):
        labels = np.arange(len(photos))
        return TrainingBatches(photos, labels, PREPROCESSING, 4, size=size, seed=3, **kwargs)

    walked, jumped = batches(), batches(first_epoch=2)
    for _ in range(2):
        for index in range(len(walked)):
            walked[index]
        walked.on_epoch_end()
    for index in (3, 0):
        np.testing.assert_array_equal(walked[index][0], jumped[index][0])
        np.testing.assert_array_equal(walked[index][1], jumped[index][1])
    # The augmentation is drawn anew for each batch and epoch.
    assert not np.array_equal(jumped[0][0], jumped[1][0])
    assert not np.array_equal(jumped[0][0], batches()[0][0])


def test_too_few_images():
    with pytest.raises(ValueError, match=r"Received: 3 images, batch_size=4$"):
        numbered(count=3)


def test_evaluation_goes_through_all_images_unchanged(photos):
    labels = np.arange(len(photos)) * 2
    batches = EvaluationBatches(photos, labels, PREPROCESSING, batch_size=8)
    assert [len(batches[i][0]) for i in range(len(batches))] == [8, 8, 6]
    images = np.concatenate([batches[i][0] for i in range(len(batches))])
    np.testing.assert_array_equal(images, normalize(photos, PREPROCESSING))
    np.testing.assert_array_equal(np.concatenate([batches[i][1] for i in range(3)]), labels)


def test_load_pixels_prepares_every_image(photos):
    source = open_source("bundled", "train").sample(22)
    for i in (0, 21):
        np.testing.assert_array_equal(photos[i], resize_and_crop(source[i], PREPROCESSING))
