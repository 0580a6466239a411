import json

import keras
import pytest
from keras import layers

from tests.care_keras.helpers import randomize_weights
from tflite.zoo.measure import Plan
from tflite.zoo.models import MODELS, build
from tflite.zoo.table import faults_of
from tflite.zoo.worker import ROW, main

pytestmark = pytest.mark.usefixtures("converter_here")


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    images = keras.Input((24, 24, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(images)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Dense(5)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(images, x)
    randomize_weights(model)
    path = tmp_path_factory.mktemp("zoo") / "own.keras"
    model.save(path)
    return path


def test_a_row_of_a_model_of_ones_own(model_file, tmp_path):
    plan = Plan(samples=8, odd_inputs=8, reference_images=3, rounds=0)
    main(str(model_file), tmp_path, "bundled", plan)
    row = json.loads((tmp_path / ROW).read_text())
    assert faults_of(row) == []
    assert row["odd_inputs"] == 8 and row["codes_that_differ"] == 0 and row["trains"]
    assert row["float32_error"] < 1e-5 and row["int8_snr_db"] > 15.0


def test_a_model_of_the_zoo_has_the_statistics_of_photos():
    model = build("u_net")
    norms = [one for one in model.layers if isinstance(one, layers.BatchNormalization)]
    assert norms and all(float(keras.ops.min(one.moving_variance)) > 0.0 for one in norms)
    assert len(MODELS) >= 12
