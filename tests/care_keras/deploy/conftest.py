"""Golden vectors and weights, which the tests of imported checkpoints use too."""

from tests.care_keras.weights.conftest import golden_folder, weights_rule

__all__ = ["golden_folder", "weights_rule"]
