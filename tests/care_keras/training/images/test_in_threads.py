"""NumPy's images are TensorFlow's, where both draw the same."""

import importlib.util

import keras
import numpy as np
import pytest
import tensorflow as tf

from care_keras.console.optional import MissingDependencyError
from care_keras.data.record import Preprocessing
from care_keras.data.sources import open_source
from care_keras.training.images import choose_engine as choice
from care_keras.training.images import in_threads, numpy_backend
from care_keras.training.images.augmentation import Augmentation
from care_keras.training.images.choose_engine import choose_engine
from care_keras.training.images.input_pipeline import EvaluationPipeline, TrainingPipeline
from care_keras.training.images.rand_augment import OPERATIONS, RandAugment
from care_keras.training.images.tf_data import GroupSeeds
from tests.care_keras.training.images.batches import arrays_of

RECORD = Preprocessing(height=32, width=32, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
GREY = Preprocessing(height=24, width=28, mean=(0.5,), std=(0.25,))
EVERYTHING = {"rand_augment": 9.0, "random_erasing": 0.5, "mixup": 0.8, "cutmix": 1.0}
ENGINES = ("tf.data", "numpy")


@pytest.fixture(scope="module")
def photos():
    return open_source("bundled", "train").sample(96)


@pytest.fixture
def same_draws(monkeypatch):
    """Lets the engine of NumPy draw what TensorFlow draws."""
    layer = keras.layers.RandomFlip("horizontal")
    layer.backend.set_backend("tensorflow")
    for name in vars(numpy_backend.random):

        def drawn(*args, name=name, **kwargs):
            return np.array(getattr(layer.backend.random, name)(*args, **kwargs))

        monkeypatch.setattr(numpy_backend.random, name, drawn)
    monkeypatch.setattr(in_threads, "NumpySeeds", GroupSeeds)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_an_operation_of_rand_augment(photos, name, sign):
    count = 12
    pixels = np.stack([photos[i] for i in range(count)]).astype(np.float32)
    # One of a single colour has no contrast to stretch, and no histogram to flatten.
    pixels[0] = 77.0
    transformation = {
        "operations": np.full((1, count), OPERATIONS.index(name), np.int32),
        "strengths": np.linspace(0, 1, count, dtype=np.float32)[None],
        "signs": np.full((1, count), sign, np.float32),
    }
    results = []
    for engine in map(choose_engine, ENGINES):
        layer = RandAugment(num_ops=1, fill=(120.0, 110.0, 100.0), engine=engine, dtype="float32")
        engine.adopt(layer)
        function = layer.transform_images
        if engine.name == "tf.data":
            # In a graph, as in tf.data.
            function = tf.function(function, autograph=False)
        with np.errstate(divide="ignore", invalid="ignore"):
            results.append(np.asarray(function(pixels.copy(), transformation)))
    assert results[1].dtype == np.float32
    np.testing.assert_allclose(results[1], results[0], atol=2e-2)


@pytest.mark.parametrize(
    ("record", "options"),
    [
        (RECORD, {"crop": "none", "flip": False}),
        (RECORD, {"crop": "padded"}),
        (RECORD, {"crop": "resized", "crop_interpolation": "random"}),
        (RECORD, {"color_jitter": 0.4}),
        (RECORD, {"rand_augment": 9.0, "rand_augment_ops": 3}),
        (RECORD, {"random_erasing": 0.5}),
        (RECORD, {"mixup": 0.8}),
        (RECORD, {"cutmix": 1.0}),
        # Of TensorFlow's two branches the first one that is traced.
        (RECORD, {**EVERYTHING, "mix_switch": 1.0}),
        (GREY, {"color_jitter": 0.4, "random_erasing": 0.5, "mixup": 0.2}),
    ],
)
def test_batches(photos, same_draws, record, options):
    of_tensorflow, of_numpy = (
        arrays_of(
            TrainingPipeline(
                photos,
                record,
                48,
                Augmentation(**options),
                seed=5,
                shard_index=1,
                shard_count=2,
                teacher=lambda images: images[:, :10, 0, 0],
                engine=choose_engine(name),
            ).epoch(3)
        )
        for name in ENGINES
    )
    assert len(of_numpy) == 2
    for (images, targets), (expected, wanted) in zip(of_numpy, of_tensorflow, strict=True):
        assert (images.dtype, images.shape) == (np.float32, (24, *expected.shape[1:]))
        assert (targets.dtype, targets.shape) == (np.float32, (24, 20))
        np.testing.assert_allclose(targets[:, :10], wanted[:, :10], atol=1e-6)
        # A value that is about to be cut to another, by a histogram for one, may be on either side.
        close = np.isclose(images, expected, rtol=0, atol=1e-4)
        assert close.mean() > (0.995 if "rand_augment" in options else 0.99999)


@pytest.mark.parametrize("record", [RECORD, GREY])
def test_evaluation_is_the_same(photos, record):
    expected, actual = (
        arrays_of(EvaluationPipeline(photos, record, 40, engine=choose_engine(name)).dataset())
        for name in ENGINES
    )
    assert len(actual) == 3
    for one, other in zip(actual, expected, strict=True):
        for array, wanted in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, wanted)


def test_distributions_of_what_is_drawn():
    seeds = in_threads.NumpySeeds(np.asarray([3, 4], np.int32))
    random, count = numpy_backend.random, 20_000
    uniform = random.uniform((count,), 2.0, 5.0, seed=seeds)
    assert uniform.dtype == np.float32 and uniform.min() >= 2.0 and uniform.max() <= 5.0
    assert uniform.mean() == pytest.approx(3.5, abs=0.03)
    normal = random.normal((count,), 1.0, 0.5, seed=seeds)
    assert (normal.mean(), normal.std()) == pytest.approx((1.0, 0.5), abs=0.02)
    whole = random.randint((count,), 0, 15, seed=seeds)
    assert np.bincount(whole).min() > 0.9 * count / 15 and whole.max() == 14
    beta = random.beta((count,), 0.8, 0.8, seed=seeds)
    assert (beta.mean(), beta.var()) == pytest.approx((0.5, 0.25 / 2.6), abs=0.01)
    numpy = choose_engine("numpy")
    chosen = [numpy.one_of(0.3, lambda: True, lambda: False, seeds) for _ in range(2000)]
    assert np.mean(chosen) == pytest.approx(0.3, abs=0.05)
    shuffled = random.shuffle(np.arange(count), seed=seeds)
    assert sorted(shuffled) == list(range(count)) and (shuffled != np.arange(count)).mean() > 0.99


def test_without_tensorflow_numpy_is_chosen(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    chosen = choice.choose_engine.__wrapped__
    assert chosen("auto").name == chosen("numpy").name == "numpy"
    with pytest.raises(MissingDependencyError, match=r"pip install tensorflow, or leave it out$"):
        chosen("tf.data")
    with pytest.raises(ValueError, match=r"Received: name='grain'$"):
        chosen("grain")
