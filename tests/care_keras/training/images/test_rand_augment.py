import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from care_keras.data.sources import open_source
from care_keras.training.images.rand_augment import OPERATIONS, RandAugment
from care_keras.training.images.tf_data import GroupSeeds

FILL = (120.0, 110.0, 100.0)


@pytest.fixture(scope="module")
def photos():
    source = open_source("bundled", "train").sample(8)
    return np.stack([source[i] for i in range(8)])


@pytest.fixture(scope="module")
def transform():
    """One operation for each image, in a graph as in tf.data."""
    layer = RandAugment(fill=FILL, num_ops=1, dtype="float32")
    layer.backend.set_backend("tensorflow")

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, 32, 32, 3)),
            tf.TensorSpec((1, None), tf.int32),
            tf.TensorSpec((1, None)),
            tf.TensorSpec((1, None)),
        ]
    )
    def transform(images, operations, strengths, signs):
        transformation = {"operations": operations, "strengths": strengths, "signs": signs}
        return layer.transform_images(images, transformation)

    return transform


def moved(image, matrix):
    """Pillow's affine map; its pixel centres are at halves."""
    a, b, c, d, e, f = matrix
    shifted = (a, b, c - (a + b - 1) / 2, d, e, f - (d + e - 1) / 2)
    fill = tuple(int(value) for value in FILL)
    return image.transform(
        image.size, Image.Transform.AFFINE, shifted, Image.Resampling.BILINEAR, fillcolor=fill
    )


def rotated(image, degrees):
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    centre = (image.size[0] - 1) / 2
    offset = (centre - cosine * centre + sine * centre, centre - sine * centre - cosine * centre)
    return moved(image, (cosine, -sine, offset[0], sine, cosine, offset[1]))


def add_below_128(image, addition):
    return image.point([min(255, i + addition) if i < 128 else i for i in range(256)] * 3)


# What timm does at magnitude 9, with the sign s.
BY_PILLOW = {
    "rotate": lambda image, s: rotated(image, s * 27.0),
    "shear_x": lambda image, s: moved(image, (1, s * 0.27, 0, 0, 1, 0)),
    "shear_y": lambda image, s: moved(image, (1, 0, 0, s * 0.27, 1, 0)),
    "translate_x": lambda image, s: moved(image, (1, 0, s * 0.405 * 32, 0, 1, 0)),
    "translate_y": lambda image, s: moved(image, (1, 0, 0, 0, 1, s * 0.405 * 32)),
    "auto_contrast": lambda image, s: ImageOps.autocontrast(image),
    "equalize": lambda image, s: ImageOps.equalize(image),
    "invert": lambda image, s: ImageOps.invert(image),
    "posterize": lambda image, s: ImageOps.posterize(image, 1),
    "solarize": lambda image, s: ImageOps.solarize(image, 26),
    "solarize_add": lambda image, s: add_below_128(image, 99),
    "color": lambda image, s: ImageEnhance.Color(image).enhance(1 + s * 0.81),
    "contrast": lambda image, s: ImageEnhance.Contrast(image).enhance(1 + s * 0.81),
    "brightness": lambda image, s: ImageEnhance.Brightness(image).enhance(1 + s * 0.81),
    "sharpness": lambda image, s: ImageEnhance.Sharpness(image).enhance(1 + s * 0.81),
}
# Pillow rounds between its steps.
TOLERANCE = {"contrast": 2.0, "color": 2.0, "sharpness": 2.0}


def applied(transform, images, operations, strength=0.9, sign=1.0):
    operations = np.asarray([operations], np.int32)
    strengths = np.full(operations.shape, strength, np.float32)
    signs = np.full(operations.shape, sign, np.float32)
    return transform(images.astype(np.float32), operations, strengths, signs).numpy()


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_those_of_pillow(photos, transform, name, sign):
    actual = applied(transform, photos, [OPERATIONS.index(name)] * len(photos), sign=sign)
    expected = np.stack([BY_PILLOW[name](Image.fromarray(image), sign) for image in photos])
    # Pillow does not sharpen borders.
    inside = (slice(None), slice(1, -1), slice(1, -1))
    if name in ("rotate", "shear_x", "shear_y", "translate_x", "translate_y"):
        # At the border of the image the two interpolate with the fill in other ways.
        near = np.abs(actual - expected) <= 1.01
        assert near.mean() > 0.9
    else:
        tolerance = TOLERANCE.get(name, 1.01)
        np.testing.assert_allclose(actual[inside], expected[inside], rtol=0, atol=tolerance)
    assert actual.min() >= 0.0 and actual.max() <= 255.0
    assert np.abs(actual - photos).mean() > 1.0


def test_every_image_has_its_own_operation(photos, transform):
    operations = [-1, 0, 3, 5, 6, 7, 8, 14]
    together = applied(transform, photos, operations)
    for i, operation in enumerate(operations):
        alone = applied(transform, photos[i : i + 1], [operation])
        np.testing.assert_allclose(together[i], alone[0], rtol=0, atol=1e-3)
    np.testing.assert_array_equal(together[0], photos[0])


def test_draws_follow_their_distributions():
    layer = RandAugment(magnitude=9.0, magnitude_std=0.5, num_ops=2, dtype="float32")
    layer.backend.set_backend("tensorflow")
    seeds = GroupSeeds(tf.constant([1, 2]))
    images = tf.zeros((6000, 1, 1, 3))
    drawn = {
        name: tensor.numpy()
        for name, tensor in layer.get_random_transformation(images, seed=seeds).items()
    }
    assert all(values.shape == (2, 6000) for values in drawn.values())
    assert (drawn["operations"] == -1).mean() == pytest.approx(0.5, abs=0.02)
    counts = np.bincount(drawn["operations"][drawn["operations"] >= 0], minlength=15)
    assert len(counts) == len(OPERATIONS) == 15
    np.testing.assert_allclose(counts / counts.sum(), 1 / 15, atol=0.02)
    assert drawn["strengths"].mean() == pytest.approx(0.9, abs=0.01)
    # Cut at 10, two standard deviations above.
    assert drawn["strengths"].std() == pytest.approx(0.05, abs=0.005)
    assert drawn["strengths"].max() == 1.0
    assert drawn["signs"].mean() == pytest.approx(0.0, abs=0.03)
    # Independent of one another.
    assert abs(np.corrcoef(drawn["operations"][0], drawn["operations"][1])[0, 1]) < 0.05
    assert abs(np.corrcoef(drawn["strengths"][0], drawn["signs"][0])[0, 1]) < 0.05


@pytest.mark.parametrize("value", [0, 255])
def test_images_of_one_color(transform, value):
    images = np.full((15, 32, 32, 3), value, np.uint8)
    outputs = applied(transform, images, list(range(15)))
    assert np.isfinite(outputs).all()
    for name in ("auto_contrast", "equalize", "color", "contrast"):
        np.testing.assert_allclose(outputs[OPERATIONS.index(name)], value, atol=1e-3)
