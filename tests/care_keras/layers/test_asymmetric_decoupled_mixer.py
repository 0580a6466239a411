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
}


@all_checks(CASES)
def test_layer(case, check):
    check(case)


def built_mixer(global_branch):
    mixer = AsymmetricDecoupledMixer(global_branch, head_dim=2)
    mixer.build((None, None, None, 6))
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


def test_unknown_global_branch():
    with pytest.raises(ValueError, match=r"Received: global_branch='pool'$"):
        AsymmetricDecoupledMixer("pool")


def test_channels_must_be_a_multiple_of_three():
    with pytest.raises(ValueError, match=r"Received: channels=8$"):
        AsymmetricDecoupledMixer().build((None, 4, 4, 8))
