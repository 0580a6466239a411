from care_keras.layers import FoldableBatchNormalization
from tests.care_keras.layers.harness import LayerCase, all_checks

CASES = {
    "other_constants": LayerCase(
        FoldableBatchNormalization,
        {"momentum": 0.8, "epsilon": 1e-3},
        shapes={(5, 7, 4): (5, 7, 4)},
        trainable_weights=2,
        non_trainable_weights=2,
    ),
}


@all_checks(CASES)
def test_layer(case, check):
    check(case)


def test_constants_are_those_of_the_published_network():
    layer = FoldableBatchNormalization()
    assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)
