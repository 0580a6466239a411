import math

import keras
import numpy as np
import pytest

from care_keras.console.cli import UserError
from care_keras.deploy import fuse
from care_keras.models import CONFIGS, build_model
from care_keras.quantization import int8_qat, quantize
from care_keras.training.recipe import training_config
from care_keras.training.teaching.optimizer import (
    create_optimizer,
    is_kernel,
    learning_rate_schedule,
)
from tests.care_keras.helpers import COMPILE, numpy_of, tiny_classifier


def config(preset="cifar10", **given):
    return training_config(preset, {"data": "bundled", **given})


def rates(config, steps_per_epoch, steps):
    schedule = learning_rate_schedule(config, steps_per_epoch)
    return [float(schedule(step)) for step in steps]


def test_the_paper_s_learning_rate():
    steps = 834  # 1,281,167 // 1536
    at = [0, 10 * steps, 20 * steps, 170 * steps, 320 * steps - 1, 400 * steps]
    start, middle, peak, half, end, after = rates(config("imagenet"), steps, at)
    assert start == pytest.approx(1e-6)
    assert middle == pytest.approx((1e-6 + 2.5e-3) / 2)
    assert peak == pytest.approx(2.5e-3)
    # Half-way down the 300 epochs of the cosine, whose floor is 1e-5.
    assert half == pytest.approx((2.5e-3 + 1e-5) / 2, rel=1e-4)
    assert end == pytest.approx(1e-5, rel=1e-4)
    assert after == pytest.approx(1e-5, rel=1e-4)


def test_the_small_images_learning_rate():
    start, peak, half, end = rates(
        config(learning_rate=4e-3, epochs=11, warmup_epochs=1.0), 100, [0, 100, 600, 1100]
    )
    assert (start, peak) == (pytest.approx(4e-5), pytest.approx(4e-3))
    assert (half, end) == (pytest.approx(2e-3), pytest.approx(0.0, abs=1e-9))


@pytest.mark.parametrize(
    ("batch_size", "accumulated", "factor"), [(1536, 1, 1.0), (768, 1, 0.5), (256, 12, 2.0)]
)
def test_the_peak_is_linear_in_the_images_per_update(batch_size, accumulated, factor):
    changed = config("imagenet", batch_size=batch_size, gradient_accumulation_steps=accumulated)
    start, peak, end = rates(changed, 10, [0, 200, 3200])
    assert peak == pytest.approx(factor * 2.5e-3)
    assert (start, end) == (pytest.approx(1e-6), pytest.approx(1e-5, rel=1e-3))
    assert rates(config(batch_size=batch_size), 10, [10]) == [pytest.approx(2e-3)]


def test_without_warm_up_the_first_step_is_at_the_peak():
    assert rates(config(warmup_epochs=0.0), 10, [0]) == [pytest.approx(2e-3)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"min_learning_rate": 0.1}, "--min_learning_rate=0.1 is above the peak .*, 0.002"),
        ({"warmup_epochs": 31.0}, "--warmup_epochs=31 is more than --epochs=30"),
        ({"clipnorm": 1.0, "clipvalue": 1.0}, "one of --clipnorm and --clipvalue, not both"),
    ],
)
def test_settings_that_contradict(given, message):
    with pytest.raises(UserError, match=message):
        create_optimizer(config(**given), tiny_classifier(), 10)


def decayed(model, weight_decay=0.5):
    """Paths of the weights that a step without gradients changes."""
    optimizer = create_optimizer(
        config(weight_decay=weight_decay, warmup_epochs=0.0), model, steps_per_epoch=10
    )
    weights = model.trainable_variables
    for weight in weights:
        weight.assign(np.ones(weight.shape))
    optimizer.apply([keras.ops.zeros(weight.shape) for weight in weights], weights)
    changed = set()
    for weight in weights:
        value = numpy_of(weight)
        if (value != 1.0).any():
            np.testing.assert_allclose(value, 1.0 - 2e-3 * weight_decay, rtol=1e-6)
            changed.add(weight.path)
    return changed


def kernels_of(model):
    """Paths of the kernels of convolutions and dense layers, asked of the layers."""
    kinds = (keras.layers.Dense, keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, kinds)]
    return {layer.kernel.path for layer in layers}


def test_kernels_are_those_of_convolutions_and_dense_layers():
    model = build_model(CONFIGS["nano"], classifier_activation=None)
    kernels = kernels_of(model)
    assert {weight.path for weight in model.trainable_variables if is_kernel(weight)} == kernels
    others = {weight.name for weight in model.trainable_variables if weight.path not in kernels}
    assert others == {"bias", "gamma", "beta"}
    assert len(kernels) > 70


def test_weight_decay_takes_kernels_alone():
    model = tiny_classifier()
    assert decayed(model) == kernels_of(model)


def test_weight_decay_in_the_quantized_form_takes_kernels_alone():
    model = quantize(fuse(tiny_classifier()), int8_qat())
    left_out = [weight for weight in model.trainable_variables if not is_kernel(weight)]
    assert {weight.name for weight in left_out if len(weight.shape) > 1} == set()
    assert any("layer_scale" in weight.path for weight in left_out)
    assert decayed(model) == {
        weight.path for weight in model.trainable_variables if len(weight.shape) > 1
    }


def linear():
    """One weight, whose gradient is the mean of the inputs."""
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
    )
    return model


def trained(inputs, **given):
    """The weight after each batch of one row, and its average at the end."""
    model = linear()
    settings = {"warmup_epochs": 0.0, "weight_decay": 0.0, "epochs": 1000, **given}
    optimizer = create_optimizer(config(**settings), model, 1000)
    model.compile(optimizer, loss=lambda _, y: y, **COMPILE)
    weights = []
    for row in inputs:
        model.train_on_batch(np.asarray([[row]], np.float32), np.zeros((1, 1), np.float32))
        weights.append(float(numpy_of(model.trainable_variables[0]).item()))
    average = None
    if optimizer.use_ema:
        average = float(numpy_of(optimizer._model_variables_moving_average[0]).item())
    return weights, average


def test_accumulated_gradients_are_averaged_for_one_update():
    rows = [1.0, 3.0, -2.0, 0.5, 4.0, 6.0]
    weights, _ = trained(rows, gradient_accumulation_steps=3)
    # Nothing in between.
    assert weights[:2] == [0.0, 0.0]
    assert weights[2] != 0.0
    assert weights[3] == weights[4] == weights[2] != weights[5]
    expected, _ = trained([np.mean(rows[:3]), np.mean(rows[3:])])
    assert [weights[2], weights[5]] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("accumulated", [1, 3])
def test_averages_move_once_for_each_update(accumulated):
    rows = np.repeat([1.0, -2.0, 3.0, 1.0], accumulated)
    weights, average = trained(
        rows, ema_momentum=0.6, gradient_accumulation_steps=accumulated, learning_rate=0.1
    )
    updated = weights[accumulated - 1 :: accumulated]
    if accumulated == 1:
        expected = updated[0]
        for weight in updated[1:]:
            expected = 0.6 * expected + 0.4 * weight
        assert average == pytest.approx(expected, rel=1e-4)
        return
    # At the first step of an update the average has moved by its third; then by the rest.
    momentum = 0.6 ** (1 / 3)
    expected = 0.0
    for i, weight in enumerate(weights):
        share = 0.0 if i < accumulated else momentum
        expected = share * expected + (1.0 - share) * weight
    assert average == pytest.approx(expected, rel=1e-4)
    assert math.isclose(momentum**3, 0.6)


@pytest.mark.parametrize("name", ["clipnorm", "global_clipnorm", "clipvalue"])
def test_gradients_are_clipped(name):
    optimizer = create_optimizer(config(**{name: 0.5}), linear(), 10)
    gradients = [keras.ops.convert_to_tensor([3.0, -4.0]), keras.ops.convert_to_tensor([12.0])]
    clipped = [numpy_of(gradient).tolist() for gradient in optimizer._clip_gradients(gradients)]
    expected = {
        "clipnorm": [[0.3, -0.4], [0.5]],
        "global_clipnorm": [[1.5 / 13, -2.0 / 13], [6.0 / 13]],
        "clipvalue": [[0.5, -0.5], [0.5]],
    }[name]
    for actual, wanted in zip(clipped, expected, strict=True):
        assert actual == pytest.approx(wanted, rel=1e-5)
