"""The example that trains on a GPU: its augmentation, its convolutions and that it learns.

Of JAX alone; all but the GPU's own programs is the same on a CPU.
"""

import time

import keras
import numpy as np
import pytest

from care_keras.console.cli import UserError
from care_keras.data.segmentation import VOID

if keras.backend.backend() != "jax":
    pytest.skip("The example trains with KERAS_BACKEND=jax", allow_module_level=True)

import jax
from jax import numpy as jnp

from examples.on_gpu import augmentation, loop

KEY = jax.random.key(0)


def test_crops_are_parts_of_their_images():
    # Each pixel says of which image it is; rows and columns rise by one.
    rows, columns = np.mgrid[:32, :32]
    image = np.stack([np.zeros_like(rows), rows, columns], -1)
    images = np.stack([image + np.array([index, 0, 0]) for index in range(64)]).astype(np.uint8)
    crops = np.asarray(augmentation.cropped(images, KEY)).astype(int)
    assert (crops[..., 0] == np.arange(64)[:, None, None]).all()
    middle = crops[:, 8:24, 8:24]
    assert (np.diff(middle[..., 1], axis=1) == 1).all()
    steps = np.diff(middle[..., 2], axis=2)
    assert set(steps[:, 0, 0]) == {1, -1}
    assert (steps == steps[:, :1, :1]).all()


def test_erased_images_have_at_most_a_square_of_zeros():
    images = np.asarray(augmentation.erased(jnp.ones((64, 32, 32, 3)), KEY))
    gone = images == 0
    assert gone.any() and not gone.all(axis=(1, 2, 3)).any()
    assert gone.sum((1, 2)).max() <= 17**2
    assert set(np.unique(images)) == {0.0, 1.0}


def test_targets_are_mixed_as_their_images():
    values = jax.nn.one_hot(np.arange(32) % 10, 10)
    images, targets = augmentation.mixed(values[:, None, None, :], values, KEY)
    np.testing.assert_allclose(images[:, 0, 0], targets)
    unmixed = (np.asarray(targets) == np.asarray(values)).all(-1)
    assert 4 < unmixed.sum() < 28


def test_maps_lie_where_their_images_do():
    rng = np.random.default_rng(0)
    # Blocks, so that both ways of sampling see the same but at their edges.
    maps = rng.integers(1, 11, (16, 9, 12)).repeat(40, 1).repeat(40, 2).astype(np.uint8)
    images, placed = jax.jit(
        lambda images, maps: augmentation.placed(images, maps, (288, 384), (0.5, 2.0), KEY)
    )(maps[..., None].astype(np.float32), maps)
    images, placed = np.asarray(images)[..., 0], np.asarray(placed)
    assert placed.shape == images.shape == (16, 288, 384)
    outside = placed == VOID
    assert 0.05 < outside.mean() < 0.5
    assert (np.abs(images - placed) < 0.01)[~outside].mean() > 0.85
    assert (images[outside] == 0).mean() > 0.97


@pytest.mark.parametrize("kernel", [(3, 3), (7, 7), (11, 1), (1, 11), (4, 3)], ids=str)
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_by_taps(kernel, padding, stride):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 13, 14, 5)).astype(np.float32)
    kernel = rng.normal(size=(*kernel, 5, 1)).astype(np.float32)
    wanted = keras.ops.depthwise_conv(images, kernel, stride, padding)
    by_taps = loop._depthwise_conv(images, kernel, stride, padding)
    assert by_taps.shape == wanted.shape
    np.testing.assert_allclose(by_taps, wanted, atol=1e-4)


def learner():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 64)
    # Dark and bright images.
    images = (labels[:, None, None, None] * 128 + rng.integers(0, 128, (64, 8, 8, 3))).astype(
        np.uint8
    )
    inputs = x = keras.Input((8, 8, 3))
    x = keras.layers.BatchNormalization(momentum=0.5)(keras.layers.Conv2D(4, 3)(x))
    x = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x))

    def batch(data, rows, key):
        return data["images"][rows] / 255.0, jax.nn.one_hot(data["labels"][rows], 2)

    def loss(targets, logits):
        return -(targets * jax.nn.log_softmax(logits)).sum(-1).mean()

    return keras.Model(inputs, x), {"images": images, "labels": labels}, batch, loss


def accuracy(model, data):
    outputs = loop.predictions(model, data["images"], lambda pixels: pixels / 255.0)
    return (outputs.argmax(-1) == data["labels"]).mean()


def test_a_model_learns():
    model, data, batch, loss = learner()
    recipe = loop.Recipe(16, 0.03, 1, 0.01, 0.9, epochs=30)
    assert loop.Training(model, recipe, data, batch, loss).run(data) == 30
    assert accuracy(model, data) == 1.0
    # What the averages give is what the saved model gives.
    np.testing.assert_allclose(
        loop.predictions(model, data["images"], lambda pixels: pixels / 255.0),
        model.predict(data["images"] / 255.0, verbose=0),
        atol=1e-4,
    )


def test_it_ends_in_time():
    model, data, batch, loss = learner()
    end = time.perf_counter() + 15.0
    training = loop.Training(model, loop.Recipe(16, 0.01, 1, 0.0, 0.9, end=end), data, batch, loss)
    assert training.run(data) > 1
    assert time.perf_counter() < end + 5.0


def test_a_loss_that_is_no_number_ends_it():
    model, data, batch, _ = learner()
    training = loop.Training(
        model, loop.Recipe(16, 0.01, 1, 0.0, 0.9, epochs=2), data, batch, lambda *_: jnp.nan
    )
    with pytest.raises(UserError, match="no longer a number"):
        training.run(data)


def test_time_that_is_over_trains_nothing():
    model, data, batch, loss = learner()
    training = loop.Training(model, loop.Recipe(16, 0.01, 1, 0.0, 0.9, end=0.0), data, batch, loss)
    with pytest.raises(UserError, match="give more --seconds"):
        training.run(data)
