import keras
import numpy as np
import pytest

from care_keras.training.teaching.adamw import AdamW
from tests.care_keras.helpers import numpy_of

STEPS = 6
SETTINGS = {
    "plain": {},
    "decay": {"weight_decay": 0.1},
    "clipping": {"global_clipnorm": 0.01},
    "averages": {"use_ema": True, "ema_momentum": 0.8},
    "accumulation": {"gradient_accumulation_steps": 2},
    "other betas": {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
    "amsgrad": {"amsgrad": True},
    "schedule": {"learning_rate": keras.optimizers.schedules.CosineDecay(0.01, 10)},
}


def trained(kind, settings):
    """A model after some steps from the same start, and its optimizer's and its own weights."""
    keras.utils.set_random_seed(0)
    layers = keras.layers.Conv2D(4, 3), keras.layers.Flatten(), keras.layers.Dense(3)
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    optimizer = kind(**{"learning_rate": 0.01, **settings})
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=False)
    generator = np.random.default_rng(0)
    images = generator.normal(size=(4 * STEPS, 8, 8, 3)).astype("float32")
    model.fit(images, generator.integers(0, 3, len(images)), 4, shuffle=False, verbose=0)
    return model, [numpy_of(one) for one in (*model.weights, *optimizer.variables)]


@pytest.mark.parametrize("name", SETTINGS)
def test_it_is_adamw(name):
    _, expected = trained(keras.optimizers.AdamW, SETTINGS[name])
    _, actual = trained(AdamW, SETTINGS[name])
    for value, reference in zip(actual, expected, strict=True):
        np.testing.assert_allclose(value, reference, rtol=1e-4, atol=1e-6)


def test_it_is_saved_and_loaded(tmp_path):
    model, weights = trained(AdamW, SETTINGS["decay"])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is AdamW and loaded.optimizer.weight_decay == 0.1
    for variable, value in zip(
        (*loaded.weights, *loaded.optimizer.variables), weights, strict=True
    ):
        np.testing.assert_array_equal(numpy_of(variable), value)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow's graph")
def test_an_update_is_one_operation_of_tensorflow_s_graph():
    import tensorflow as tf

    weights = [keras.Variable(np.ones((2, 3), "float32")) for _ in range(5)]
    optimizer = AdamW(0.01)
    optimizer.build(weights)

    @tf.function
    def step():
        optimizer.apply([tf.ones((2, 3))] * 5, weights)

    kinds = [operation.type for operation in step.get_concrete_function().graph.get_operations()]
    assert kinds.count("ResourceApplyAdam") == 5
    assert kinds.count("Pow") == 2
