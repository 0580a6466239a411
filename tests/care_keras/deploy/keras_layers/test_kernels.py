"""Models of `keras.Model.quantize`: their kernels are multiplied out."""

import gc

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras.quantizers import Int4QuantizationConfig, Int8QuantizationConfig

from care_keras.deploy import fuse
from care_keras.metrics import snr_db
from tests.care_keras.deploy.keras_layers.harness import SIZE, arrays_of, randomize, run

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method")

# How a model is quantized.
MODES = {
    # Keras rounds the inputs of the layers as well.
    "int8": ("int8", None),
    "int8 weights": ("int8", Int8QuantizationConfig(activation_quantizer=None)),
    "int4": ("int4", None),
    "int4 channels": ("int4", Int4QuantizationConfig(block_size=-1, activation_quantizer=None)),
    "int4 groups": ("int4", Int4QuantizationConfig(block_size=2, activation_quantizer=None)),
    "float8": ("float8", None),
}


@pytest.fixture(autouse=True)
def no_garbage_collection(monkeypatch):
    """Keras calls for one at each kernel that it rounds: most of the time of these tests."""
    monkeypatch.setattr(gc, "collect", lambda *_: 0)


def mixed_model():
    x = image = keras.Input((*SIZE, 3), name="image")
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    x = layers.Dense(5, activation="relu")(x)
    x = layers.EinsumDense("abcd,def->abcef", (None, None, 2, 3), bias_axes="ef")(x)
    x = layers.EinsumDense("abcef,efg->abcg", (None, None, 6), bias_axes="g")(x)
    model = keras.Model(image, layers.Dense(7)(x))
    randomize(model)
    return model


def attention():
    x = image = keras.Input((*SIZE, 3), name="image")
    x = layers.Reshape((-1, 3))(x)
    model = keras.Model(image, layers.MultiHeadAttention(2, 4)(x, x))
    randomize(model)
    return model


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("make", [mixed_model, attention])
def test_quantized_by_keras(make, name, tmp_path):
    model = make()
    model.quantize(MODES[name][0], config=MODES[name][1])
    forms = [model]
    # Keras cannot load the attention that it has quantized and saved.
    if make is mixed_model:
        model.save(tmp_path / "model.keras")
        forms.append(keras.models.load_model(tmp_path / "model.keras"))
    images = np.random.default_rng(2).normal(size=(3, *SIZE, 3)).astype("float32")
    (expected,) = arrays_of(run(model, images))
    for form in forms:
        deployed = fuse(form)
        assert deployed.foreign_reasons == {}
        assert {weight.dtype for weight in deployed.weights} == {"float32"}
        (found,) = arrays_of(run(deployed, images))
        # Of the weights alone it is exact.
        assert snr_db(found, expected) > (25.0 if name in ("int8", "float8") else 90.0)


def test_what_was_learned_beside_the_codes_is_added():
    x = keras.Input((5,))
    layer = layers.Dense(4)
    model = keras.Model(x, layer(x))
    randomize(model)
    model.quantize("int8", config=Int8QuantizationConfig(activation_quantizer=None))
    layer.enable_lora(2, lora_alpha=3)
    layer.lora_kernel_b.assign(ops.ones((2, 4)))
    inputs = np.random.default_rng(2).normal(size=(3, 5)).astype("float32")
    (expected,), (found,) = (arrays_of(run(form, inputs)) for form in (model, fuse(model)))
    np.testing.assert_allclose(found, expected, atol=1e-5)
