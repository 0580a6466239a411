import math

import numpy as np
import pytest

from care_keras.layers import DualInteraction, Interaction
from tests.care_keras.helpers import infer, numpy_of, randomize_weights
from tests.care_keras.layers.harness import LayerCase, all_checks, impulse_response

CASES = {
    "interaction": LayerCase(
        Interaction,
        {"expansion_ratio": 2, "project": True, "dropout": 0.3},
        shapes={(5, 7, 4): (5, 7, 4), (2, 3, 4): (2, 3, 4)},
        trainable_weights=8,
        non_trainable_weights=2,
    ),
    "interaction_without_projection": LayerCase(
        Interaction,
        {"expansion_ratio": 3, "project": False},
        shapes={(5, 7, 4): (5, 7, 12)},
        trainable_weights=6,
        non_trainable_weights=2,
    ),
    "dual": LayerCase(
        DualInteraction,
        {"inter1_expansion_ratio": 2, "inter2_expansion_ratio": 3, "dropout": 0.2},
        shapes={((5, 7, 2), (5, 7, 6)): (5, 7, 8), ((3, 2, 2), (3, 2, 6)): (3, 2, 8)},
        trainable_weights=16,
        non_trainable_weights=4,
    ),
    "dual_without_projection": LayerCase(
        DualInteraction,
        {"inter1_expansion_ratio": 1, "inter2_expansion_ratio": 2, "project": False},
        shapes={((5, 7, 2), (5, 7, 6)): (5, 7, 16)},
        trainable_weights=14,
        non_trainable_weights=4,
        # Constants per channel, which the BatchNorm of Inter2 takes away.
        without_gradient=("inter1/depthwise/bias", "inter1/projection/bias"),
    ),
}


@all_checks(CASES)
def test_layer(case, check):
    check(case)


def reference(layer, inputs):
    """BatchNorm, 1x1, GELU, 3x3 depthwise, 1x1, residual; in float64, for inference."""
    weights = {w.path: np.asarray(numpy_of(w), np.float64) for w in layer.weights}

    def weight(ending):
        return next(value for path, value in weights.items() if path.endswith(ending))

    x = (inputs - weight("moving_mean")) / np.sqrt(weight("moving_variance") + 1e-5)
    x = x * weight("norm/gamma") + weight("norm/beta")
    x = x @ weight("expand/kernel")[0, 0] + weight("expand/bias")
    x = 0.5 * x * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))
    kernel = weight("depthwise/kernel")[..., 0]
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    x = weight("depthwise/bias") + sum(
        padded[:, i : i + height, j : j + width] * kernel[i, j] for i in range(3) for j in range(3)
    )
    if not layer.project:
        return x
    return x @ weight("projection/kernel")[0, 0] + weight("projection/bias") + inputs


@pytest.mark.parametrize("project", [True, False])
def test_interaction_equals_its_formula(project):
    layer = Interaction(2, project=project, dropout=0.4)
    layer.build((None, None, None, 4))
    randomize_weights(layer)
    inputs = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype("float32")
    np.testing.assert_allclose(
        numpy_of(infer(layer, inputs)), reference(layer, inputs), rtol=1e-4, atol=1e-5
    )


def test_an_interaction_reaches_all_channels_of_the_neighbours():
    layer = Interaction(4)
    layer.build((None, None, None, 3))
    randomize_weights(layer)
    reached = impulse_response(layer, (7, 9), 3, channel=1)
    expected = np.zeros((7, 9), bool)
    expected[2:5, 3:6] = True
    np.testing.assert_array_equal(reached.any(axis=-1), expected)
    assert reached[3, 4].all()


def built_dual():
    layer = DualInteraction(2, 2)
    layer.build(((None, None, None, 2), (None, None, None, 6)))
    randomize_weights(layer)
    rng = np.random.default_rng(0)
    memory, other = rng.normal(size=(2, 1, 4, 3, 2)).astype("float32")
    features = rng.normal(size=(1, 4, 3, 6)).astype("float32")
    return layer, memory, other, features


def test_inter1_sees_the_features_alone():
    """Without what Inter2 adds, the memory passes and Inter1's output stands beside it."""
    layer, memory, other, features = built_dual()
    layer.inter2.projection.kernel.assign(np.zeros(layer.inter2.projection.kernel.shape))
    layer.inter2.projection.bias.assign(np.zeros(layer.inter2.projection.bias.shape))
    mixed = numpy_of(infer(layer.inter1, features))
    for given in (memory, other):
        outputs = numpy_of(infer(layer, [given, features]))
        np.testing.assert_allclose(outputs, np.concatenate([given, mixed], -1), atol=1e-5)


def test_inter2_writes_memory_and_features_from_both():
    layer, memory, other, features = built_dual()
    outputs = numpy_of(infer(layer, [memory, features]))
    joined = np.concatenate([memory, numpy_of(infer(layer.inter1, features))], -1)
    np.testing.assert_allclose(outputs, numpy_of(infer(layer.inter2, joined)), atol=1e-5)
    by_memory = np.abs(numpy_of(infer(layer, [other, features])) - outputs)
    by_features = np.abs(numpy_of(infer(layer, [memory, features[:, ::-1]])) - outputs)
    assert by_memory.max(axis=(0, 1, 2)).min() > 1e-3
    assert by_features.max(axis=(0, 1, 2)).min() > 1e-3


def test_dropout_acts_in_training_alone():
    layer, memory, _, features = built_dual()
    dropping = DualInteraction(2, 2, dropout=0.5)
    dropping.build(((None, None, None, 2), (None, None, None, 6)))
    dropping.set_weights(layer.get_weights())
    outputs = numpy_of(infer(layer, [memory, features]))
    np.testing.assert_array_equal(numpy_of(infer(dropping, [memory, features])), outputs)
    draws = [numpy_of(dropping([memory, features], training=True)) for _ in range(2)]
    assert np.abs(draws[0] - draws[1]).max() > 1e-3


def test_expansion_ratio_must_be_positive():
    with pytest.raises(ValueError, match=r"Received: expansion_ratio=0$"):
        Interaction(0)
