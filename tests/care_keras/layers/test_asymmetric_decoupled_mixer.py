import numpy as np
import pytest

from care_keras.layers import AsymmetricDecoupledMixer
from tests.care_keras.helpers import infer, numpy_of, randomize_weights
from tests.care_keras.layers.harness import LayerCase, all_checks, impulse_response

CASES = {
    "attention": LayerCase(
        AsymmetricDecoupledMixer,
        {"global_branch": "attention", "head_dim": 2},
        shapes={(5, 7, 12): (5, 7, 12), (9, 2, 12): (9, 2, 12)},
        trainable_weights=6,
    ),
    "strips": LayerCase(
        AsymmetricDecoupledMixer,
        {"global_branch": "strip_conv", "head_dim": 5},
        shapes={(5, 7, 6): (5, 7, 6), (12, 3, 6): (12, 3, 6)},
        trainable_weights=8,
    ),
    "symmetric": LayerCase(
        AsymmetricDecoupledMixer,
        {"head_dim": 3, "decoupling": "symmetric", "local_kernels": [3, 3]},
        shapes={(5, 7, 12): (5, 7, 12)},
        trainable_weights=6,
    ),
    "stacked": LayerCase(
        AsymmetricDecoupledMixer,
        {"head_dim": 4, "decoupling": "none", "local_kernels": [3, 5]},
        shapes={(5, 7, 8): (5, 7, 8), (3, 2, 8): (3, 2, 8)},
        trainable_weights=6,
    ),
    "without_local_branch": LayerCase(
        AsymmetricDecoupledMixer,
        {"global_branch": "strip_conv", "local_kernels": []},
        shapes={(5, 7, 6): (5, 7, 6)},
        trainable_weights=4,
    ),
    "without_global_branch": LayerCase(
        AsymmetricDecoupledMixer,
        {"global_branch": "none", "local_kernels": [3, 7]},
        shapes={(5, 7, 6): (5, 7, 6)},
        trainable_weights=4,
    ),
}


@all_checks(CASES)
def test_layer(case, check):
    check(case)


def built_mixer(global_branch, channels=6, head_dim=2, **kwargs):
    mixer = AsymmetricDecoupledMixer(global_branch, head_dim, **kwargs)
    mixer.build((None, None, None, channels))
    randomize_weights(mixer)
    return mixer


def square(radius, size=(15, 17)):
    """Mask of the square of that radius around the middle pixel."""
    rows, columns = np.indices(size)
    return (abs(rows - size[0] // 2) <= radius) & (abs(columns - size[1] // 2) <= radius)


def cross(radius, size=(15, 17)):
    """Mask of the vertical and the horizontal strip through the middle pixel."""
    rows, columns = np.indices(size)
    rows, columns = abs(rows - size[0] // 2), abs(columns - size[1] // 2)
    return ((rows == 0) & (columns <= radius)) | ((columns == 0) & (rows <= radius))


# Of six channels the first two are global, then two 3x3, then two 7x7.
@pytest.mark.parametrize(
    ("global_branch", "channel", "expected"),
    [
        ("strip_conv", 0, cross(5)),
        ("strip_conv", 1, cross(5)),
        ("strip_conv", 2, square(1)),
        ("attention", 3, square(1)),
        ("strip_conv", 4, square(3)),
        ("attention", 5, square(3)),
    ],
)
def test_a_pixel_reaches_its_own_channel_within_the_kernel(global_branch, channel, expected):
    reached = impulse_response(built_mixer(global_branch), (15, 17), 6, channel)
    np.testing.assert_array_equal(reached[..., channel], expected)
    assert not np.delete(reached, channel, axis=-1).any()


def test_attention_reaches_every_pixel_of_the_global_third_alone():
    reached = impulse_response(built_mixer("attention"), (15, 17), 6, 1)
    assert reached[..., :2].all(axis=(0, 1)).any()
    assert not reached[..., 2:].any()


def test_strips_are_summed():
    mixer = built_mixer("strip_conv")
    inputs = np.random.default_rng(0).normal(size=(1, 13, 12, 6)).astype("float32")
    outputs = numpy_of(infer(mixer, inputs))[..., :2]
    part = inputs[..., :2]
    vertical = numpy_of(mixer.strip_conv_vertical(part))
    horizontal = numpy_of(mixer.strip_conv_horizontal(part))
    np.testing.assert_allclose(outputs, vertical + horizontal, atol=1e-5)
    # (height, width): the vertical strip is eleven high.
    assert mixer.strip_conv_vertical.kernel_size == (11, 1)
    assert mixer.strip_conv_horizontal.kernel_size == (1, 11)


def test_attention_gets_half_as_many_channels_as_the_local_convs():
    mixer = built_mixer("attention")
    global_channels = mixer.attention.query_key.kernel.shape[-2]
    local_channels = mixer.local_conv_3x3.kernel.shape[-2] + mixer.local_conv_7x7.kernel.shape[-2]
    assert (global_channels, local_channels) == (2, 4)


def test_the_symmetric_split_gives_attention_half_of_the_channels():
    mixer = built_mixer("attention", channels=12, head_dim=6, decoupling="symmetric")
    reached = impulse_response(mixer, (15, 17), 12, channel=5)
    assert reached[..., :6].all(axis=(0, 1)).any() and not reached[..., 6:].any()
    for channel, radius in ((6, 1), (8, 1), (9, 3), (11, 3)):
        reached = impulse_response(mixer, (15, 17), 12, channel)
        np.testing.assert_array_equal(reached[..., channel], square(radius))
        assert not np.delete(reached, channel, axis=-1).any()


def test_stacked_all_channels_go_through_the_local_branch_and_then_through_attention():
    mixer = built_mixer("attention", decoupling="none")
    inputs = np.random.default_rng(0).normal(size=(1, 9, 8, 6)).astype("float32")
    local = [mixer.local_conv_3x3(inputs[..., :3]), mixer.local_conv_7x7(inputs[..., 3:])]
    local = np.concatenate([numpy_of(x) for x in local], axis=-1)
    expected = numpy_of(infer(mixer.attention, local))
    np.testing.assert_allclose(numpy_of(infer(mixer, inputs)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("kwargs", "unchanged"),
    [({"local_kernels": ()}, slice(2, 6)), ({"global_branch": "none"}, slice(0, 2))],
)
def test_without_a_branch_its_channels_pass_unchanged_and_the_others_as_before(kwargs, unchanged):
    whole = built_mixer("strip_conv")
    mixer = built_mixer(**{"global_branch": "strip_conv", **kwargs})
    weights = {weight.path.split("/", 1)[1]: weight for weight in whole.weights}
    for weight in mixer.weights:
        weight.assign(weights[weight.path.split("/", 1)[1]])
    inputs = np.random.default_rng(0).normal(size=(2, 7, 8, 6)).astype("float32")
    expected = numpy_of(infer(whole, inputs))
    expected[..., unchanged] = inputs[..., unchanged]
    np.testing.assert_allclose(numpy_of(infer(mixer, inputs)), expected, atol=1e-6)


def test_neither_branch_is_the_identity():
    for decoupling in ("asymmetric", "symmetric", "none"):
        mixer = AsymmetricDecoupledMixer("none", decoupling=decoupling, local_kernels=())
        inputs = np.random.default_rng(0).normal(size=(1, 3, 4, 6)).astype("float32")
        np.testing.assert_array_equal(numpy_of(mixer(inputs)), inputs)


def test_local_convs_of_one_size_are_two():
    mixer = built_mixer("strip_conv", local_kernels=(3, 3))
    assert mixer.local_names == ["local_conv_3x3", "local_conv_3x3_2"]
    kernels = [numpy_of(getattr(mixer, name).kernel) for name in mixer.local_names]
    assert kernels[0].shape == kernels[1].shape == (3, 3, 2, 1)
    assert np.abs(kernels[0] - kernels[1]).max() > 0.1


@pytest.mark.parametrize(
    ("kwargs", "received"),
    [
        ({"decoupling": "half"}, "decoupling='half'"),
        ({"local_kernels": (3, 4)}, r"local_kernels=\(3, 4\)"),
        ({"local_kernels": (-1,)}, r"local_kernels=\(-1,\)"),
    ],
)
def test_arguments_that_mean_nothing(kwargs, received):
    with pytest.raises(ValueError, match=f"Received: {received}$"):
        AsymmetricDecoupledMixer(**kwargs)


@pytest.mark.parametrize(
    ("kwargs", "channels", "received"),
    [
        ({"decoupling": "symmetric"}, 9, "channels=9"),
        ({"decoupling": "symmetric"}, 6, r"3 of channels=6, local_kernels=\(3, 7\)"),
        ({"decoupling": "none"}, 5, r"5 of channels=5, local_kernels=\(3, 7\)"),
        ({"local_kernels": (3, 5, 7)}, 6, r"4 of channels=6, local_kernels=\(3, 5, 7\)"),
    ],
)
def test_channels_that_cannot_be_split(kwargs, channels, received):
    with pytest.raises(ValueError, match=f"Received: {received}$"):
        AsymmetricDecoupledMixer("strip_conv", **kwargs).build((None, 4, 4, channels))


def test_unknown_global_branch():
    with pytest.raises(ValueError, match=r"Received: global_branch='pool'$"):
        AsymmetricDecoupledMixer("pool")


def test_channels_must_be_a_multiple_of_three():
    with pytest.raises(ValueError, match=r"Received: channels=8$"):
        AsymmetricDecoupledMixer().build((None, 4, 4, 8))
