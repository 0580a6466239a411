"""Attention alone as files: the same numbers as the layers, the work that the formulas say."""

import numpy as np
import pytest

from care_keras.litert.model import LiteRTModel
from care_keras.models import CONFIGS
from care_keras.tflite_file.reader import read_graph
from tests.care_keras.helpers import infer, numpy_of
from tflite.benchmark_tokens.attention_files import (
    attention_file,
    file_macs,
    random_layers,
    write_files,
)
from tflite.benchmark_tokens.shape import AttentionShape, attention_shape, parse_sides


@pytest.mark.parametrize(
    ("model", "stage", "expected"),
    [
        ("s0", 3, AttentionShape(32, 16, 16)),
        ("s2", 4, AttentionShape(96, 32, 32)),
        ("nano", 2, AttentionShape(24, 8, 4)),
    ],
)
def test_the_shape_of_a_stage(model, stage, expected):
    assert attention_shape(CONFIGS[model], stage) == expected


@pytest.mark.parametrize("stage", [0, 2, 5])
def test_a_stage_without_attention(stage):
    with pytest.raises(ValueError, match=f"in the stages 3, 4 of care_s0. Received: stage={stage}"):
        attention_shape(CONFIGS["s0"], stage)


def test_sides():
    shape = attention_shape(CONFIGS["s0"], 3)
    assert parse_sides(["448", " 112", "224"], CONFIGS["s0"], shape) == [112, 224, 448]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["224"], "two or more sides that differ by a token, 16 pixels. Received: 224"),
        ([], "two or more sides"),
        (["224", "230"], "Received: 224,230"),
        (["224", "big"], "sides in pixels, 224,448. Received: 224,big"),
        (["16", "64"], "care_s0 needs at least 32 pixels. Received: --size=16"),
    ],
)
def test_bad_sides(values, message):
    with pytest.raises(ValueError, match=message):
        parse_sides(values, CONFIGS["s0"], attention_shape(CONFIGS["s0"], 3))


@pytest.mark.parametrize("kind", ["linear", "softmax"])
@pytest.mark.parametrize("shape", [AttentionShape(32, 16, 16), AttentionShape(24, 8, 4)])
@pytest.mark.parametrize("size", [(1, 1), (7, 7), (4, 9)])
def test_a_file_gives_the_layers_numbers(kind, shape, size):
    layer = random_layers(shape, seed=3)[kind]
    images = np.random.default_rng(4).normal(size=(1, *size, shape.channels)).astype("float32")
    expected = numpy_of(infer(layer, images))
    found = LiteRTModel(attention_file(layer, *size)).predict(images)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(expected).max() > 0.05


def test_both_have_the_same_queries_and_keys():
    layers = random_layers(AttentionShape(32, 16, 16), seed=0)
    first, second = (layer.get_weights() for layer in layers.values())
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_softmax_attention_is_its_formula():
    """Head by head in NumPy."""
    layer = random_layers(AttentionShape(8, 4, 1), seed=5)["softmax"]
    images = np.random.default_rng(6).normal(size=(2, 3, 5, 8))
    kernel, bias = (np.asarray(weight, np.float64) for weight in layer.get_weights())
    pixels = images.reshape(2, 15, 8)
    query, key = np.split(pixels @ kernel[0, 0] + bias, 2, axis=-1)
    expected = np.empty_like(pixels)
    for head in (slice(0, 4), slice(4, 8)):
        scores = query[..., head] @ key[..., head].swapaxes(1, 2) / 2
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        expected[..., head] = weights @ pixels[..., head]
    found = numpy_of(infer(layer, images.astype("float32")))
    np.testing.assert_allclose(found.reshape(2, 15, 8), expected, atol=1e-5)


@pytest.mark.parametrize("channels,head_dim", [(32, 16), (48, 16), (16, 16)])
def test_macs_are_linear_and_quadratic(channels, head_dim):
    layers = random_layers(AttentionShape(channels, head_dim, 16), seed=0)
    for tokens in (16, 64):
        side = int(tokens**0.5)
        macs = {
            kind: file_macs(attention_file(layer, side, side)) for kind, layer in layers.items()
        }
        convolutions = 2 * channels**2
        heads = channels // head_dim
        # Products of all channels at once, the denominator, and its repetition in each head.
        products = 2 * channels**2 + 2 * heads * channels
        # 1 is added to keys, as terms of a mean, by a convolution of one tap.
        terms = channels
        assert macs["linear"] == tokens * (convolutions + products + terms)
        assert macs["softmax"] == tokens * convolutions + 2 * tokens**2 * channels


def test_what_the_files_are_made_of(tmp_path):
    paths = write_files(AttentionShape(32, 16, 16), 64, tmp_path, seed=0)
    assert [path.name for path in paths.values()] == ["linear_64.tflite", "softmax_64.tflite"]
    names = {
        kind: [operator.name for operator in read_graph(path).main.operators]
        for kind, path in paths.items()
    }
    assert names["softmax"].count("SOFTMAX") == 2 and "SOFTMAX" not in names["linear"]
    # Nothing is moved: a transposition would count as time of softmax attention.
    assert "TRANSPOSE" not in names["softmax"] and "DIV" not in names["linear"]
    for path in paths.values():
        assert LiteRTModel(path).input.shape == (1, 4, 4, 32)
