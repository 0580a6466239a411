import math

import keras
import numpy as np
import pytest
from keras import ops

from care_keras.layers import ClassifierHead, DualClassifierHead, SingleClassifierHead
from tests.care_keras.helpers import infer, numpy_of, randomize_weights
from tests.care_keras.layers.harness import LayerCase, all_checks

CASES = {
    "one_head": LayerCase(
        ClassifierHead,
        {"classes": 5, "dropout": 0.2},
        shapes={(6,): (5,)},
        trainable_weights=4,
        output_dtype="float32",
    ),
    "two_heads": LayerCase(
        DualClassifierHead,
        {"classes": 5, "activation": "softmax", "dropout": 0.2},
        shapes={(3, 4, 6): (5,), (1, 2, 6): (5,)},
        trainable_weights=8,
        output_dtype="float32",
    ),
    "pooled_features_and_one_head": LayerCase(
        SingleClassifierHead,
        {"classes": 5, "activation": "softmax", "dropout": 0.2},
        shapes={(3, 4, 6): (5,)},
        trainable_weights=4,
        output_dtype="float32",
    ),
}


@all_checks(CASES)
def test_layer(case, check):
    check(case)


def built_head(kind=DualClassifierHead, **kwargs):
    layer = kind(classes=4, **kwargs)
    layer.build((None, None, None, 6))
    randomize_weights(layer)
    return layer, np.random.default_rng(0).normal(size=(3, 4, 5, 6)).astype("float32")


def reference_logits(head, inputs):
    """Global mean, exact GELU, LayerNorm, dense; in float64."""
    x = inputs.astype(np.float64).mean(axis=(1, 2))
    x = 0.5 * x * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))
    gamma, beta, kernel, bias = (np.asarray(w, np.float64) for w in head.get_weights())
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return (x * gamma + beta) @ kernel + bias


def softmax(logits):
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


@pytest.mark.parametrize(("activation", "function"), [(None, lambda x: x), ("softmax", softmax)])
def test_inference_averages_the_logits_and_training_returns_both(activation, function):
    layer, inputs = built_head(activation=activation)
    head = reference_logits(layer.head, inputs)
    dist_head = reference_logits(layer.dist_head, inputs)
    expected = function((head + dist_head) / 2)
    np.testing.assert_allclose(numpy_of(infer(layer, inputs)), expected, rtol=1e-4, atol=1e-5)
    outputs = infer(layer, inputs, training=True)
    assert set(outputs) == {"head", "dist_head"}
    np.testing.assert_allclose(numpy_of(outputs["head"]), function(head), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        numpy_of(outputs["dist_head"]), function(dist_head), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("training", [False, True])
def test_one_head_gives_its_own_logits(training):
    layer, inputs = built_head(SingleClassifierHead)
    outputs = numpy_of(infer(layer, inputs, training=training))
    np.testing.assert_allclose(outputs, reference_logits(layer.head, inputs), rtol=1e-4, atol=1e-5)
    assert layer.heads() == [layer.head]


def test_symbolic_outputs_are_those_of_the_mode():
    layer, _ = built_head()
    inputs = keras.KerasTensor((None, None, None, 6))
    assert layer(inputs).shape == (None, 4)
    outputs = layer(inputs, training=True)
    assert {name: spec.shape for name, spec in outputs.items()} == {
        "head": (None, 4),
        "dist_head": (None, 4),
    }


def test_logits_are_float32_in_training_too():
    layer, inputs = built_head(dtype="mixed_bfloat16")
    dtypes = {
        keras.backend.standardize_dtype(x.dtype) for x in layer(inputs, training=True).values()
    }
    assert dtypes == {"float32"}


def test_dropout_acts_in_training_alone():
    layer, inputs = built_head(dropout=0.5)
    draws = [numpy_of(layer(inputs, training=True)["head"]) for _ in range(2)]
    assert np.abs(draws[0] - draws[1]).max() > 1e-3


def test_a_function_serves_as_activation():
    layer, inputs = built_head(activation=ops.tanh)
    assert np.abs(numpy_of(infer(layer, inputs))).max() <= 1.0


@pytest.mark.parametrize("layer", [ClassifierHead, DualClassifierHead, SingleClassifierHead])
def test_classes_must_be_positive(layer):
    with pytest.raises(ValueError, match=r"Received: classes=0$"):
        layer(classes=0)
