import inspect

import keras
import numpy as np
import pytest

from care_keras.models import CONFIGS, Preprocessing, decode_predictions, preprocess_input


def test_pixels_become_normalized_images_in_numpy_and_in_the_backend():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3)).astype(np.uint8)
    mean = np.array([0.485, 0.456, 0.406])
    std = np.array([0.229, 0.224, 0.225])
    expected = (pixels / 255.0 - mean) / std
    np.testing.assert_allclose(preprocess_input(pixels), expected, atol=1e-5)
    tensor = preprocess_input(keras.ops.convert_to_tensor(pixels))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(tensor), expected, atol=1e-5)


def test_a_model_s_own_record_is_used():
    record = CONFIGS["nano"].preprocessing
    black = np.zeros((1, 2, 2, 3), np.uint8)
    expected = -np.array(record.mean) / np.array(record.std)
    np.testing.assert_allclose(preprocess_input(black, record)[0, 0, 0], expected, atol=1e-6)


def test_gray_images_are_refused():
    with pytest.raises(ValueError, match=r"RGB.*Received: shape=\(2, 2, 1\)"):
        preprocess_input(np.zeros((2, 2, 1)))
    grey = Preprocessing(2, 2, (0.5,), (0.25,))
    assert preprocess_input(np.full((2, 2, 1), 255.0), grey)[0, 0].tolist() == [2.0]
    with pytest.raises(ValueError, match="must hold grey values in its last axis"):
        preprocess_input(np.zeros((2, 2, 3)), grey)


def test_best_classes_are_named_in_order():
    decoded = decode_predictions(np.array([[0.1, 0.7, 0.2]]), top=2, labels=("a", "b", "c"))
    assert decoded == [[(1, "b", 0.7), (2, "c", 0.2)]]


def test_names_must_fit_the_predictions():
    with pytest.raises(ValueError, match=r"\(batch, 2\).*Received: shape=\(1, 3\)"):
        decode_predictions(np.zeros((1, 3)), labels=("a", "b"))


def test_names_of_imagenet_without_a_network(monkeypatch):
    def unreachable(*args, **kwargs):
        raise Exception("URL fetch failure on https://...: None -- [Errno -3]")

    utils = inspect.getmodule(keras.applications.imagenet_utils.decode_predictions)
    monkeypatch.setattr(utils, "CLASS_INDEX", None)
    monkeypatch.setattr(utils.file_utils, "get_file", unreachable)
    with pytest.raises(ValueError, match=r"pass `labels`, .*Received: labels=None$"):
        decode_predictions(np.zeros((1, 1000)))
    with pytest.raises(ValueError, match=r"\(1, 10\)"):
        decode_predictions(np.zeros((1, 10)))
