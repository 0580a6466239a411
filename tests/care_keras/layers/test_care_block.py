import numpy as np
import pytest

from care_keras.layers import CAREBlock
from tests.care_keras.helpers import infer, numpy_of, randomize_weights
from tests.care_keras.layers.harness import LayerCase, all_checks, impulse_response

CASES = {
    "attention": LayerCase(
        CAREBlock,
        {
            "global_branch": "attention",
            "head_dim": 2,
            "inter1_expansion_ratio": 1,
            "inter2_expansion_ratio": 2,
            "dropout": 0.1,
            "drop_path_rate": 0.1,
            "layer_scale_init": 0.1,
        },
        shapes={(5, 7, 16): (5, 7, 16)},
        trainable_weights=23,
        non_trainable_weights=4,
    ),
    "strips_of_the_last_block": LayerCase(
        CAREBlock,
        {"global_branch": "strip_conv", "inter2_expansion_ratio": 3, "last": True},
        shapes={(5, 7, 8): (5, 7, 24), (4, 3, 8): (4, 3, 24)},
        trainable_weights=22,
        non_trainable_weights=4,
        # Constants per channel, which the BatchNorm of Inter2 takes away.
        without_gradient=(
            "strip_conv_vertical/bias",
            "strip_conv_horizontal/bias",
            "local_conv_3x3/bias",
            "local_conv_7x7/bias",
            "inter1/depthwise/bias",
            "inter1/projection/bias",
        ),
    ),
    "without_memory_and_inter1": LayerCase(
        CAREBlock,
        {
            "inter1_expansion_ratio": None,
            "head_dim": 3,
            "decoupling": "symmetric",
            "local_kernels": [3, 5],
            "memory": False,
        },
        shapes={(5, 7, 12): (5, 7, 12)},
        trainable_weights=15,
        non_trainable_weights=2,
        # Constants per channel, which the BatchNorm of Inter2 takes away.
        without_gradient=("local_conv_3x3/bias", "local_conv_5x5/bias"),
    ),
    "without_inter2": LayerCase(
        CAREBlock,
        {"global_branch": "none", "inter1_expansion_ratio": 2, "inter2_expansion_ratio": None},
        shapes={(5, 7, 8): (5, 7, 8)},
        trainable_weights=13,
        non_trainable_weights=2,
    ),
}


@all_checks(CASES)
def test_layer(case, check):
    check(case)


def built_block(channels=8, **kwargs):
    ratios = {"inter1_expansion_ratio": 2, "inter2_expansion_ratio": 2}
    block = CAREBlock("strip_conv", **{**ratios, **kwargs})
    block.build((None, None, None, channels))
    randomize_weights(block)
    return block, np.random.default_rng(0).normal(size=(16, 5, 4, channels)).astype("float32")


def test_is_the_scaled_interaction_plus_the_input():
    block, inputs = built_block()
    memory, features = inputs[..., :2], inputs[..., 2:]
    mixed = numpy_of(infer(block.mixer, features))
    branch = numpy_of(infer(block.interaction, [memory, mixed]))
    expected = branch * numpy_of(block.layer_scale.gamma) + inputs
    np.testing.assert_allclose(numpy_of(infer(block, inputs)), expected, rtol=1e-4, atol=1e-5)


def test_without_inter2_the_memory_is_scaled_and_the_features_come_from_inter1():
    block, inputs = built_block(inter2_expansion_ratio=None)
    memory, features = inputs[..., :2], inputs[..., 2:]
    features = numpy_of(infer(block.interaction.inter1, infer(block.mixer, features)))
    joined = np.concatenate([memory, features], axis=-1)
    expected = joined * numpy_of(block.layer_scale.gamma) + inputs
    np.testing.assert_allclose(numpy_of(infer(block, inputs)), expected, rtol=1e-4, atol=1e-5)


def test_without_inter1_inter2_reads_the_mixed_features():
    block, inputs = built_block(inter1_expansion_ratio=None, last=True)
    joined = np.concatenate([inputs[..., :2], numpy_of(infer(block.mixer, inputs[..., 2:]))], -1)
    expected = numpy_of(infer(block.interaction.inter2, joined))
    np.testing.assert_allclose(numpy_of(infer(block, inputs)), expected, rtol=1e-4, atol=1e-5)


def test_without_memory_all_channels_are_features():
    block, inputs = built_block(memory=False, channels=6)
    mixed = infer(block.interaction.inter1, infer(block.mixer, inputs))
    branch = numpy_of(infer(block.interaction.inter2, mixed))
    expected = branch * numpy_of(block.layer_scale.gamma) + inputs
    np.testing.assert_allclose(numpy_of(infer(block, inputs)), expected, rtol=1e-4, atol=1e-5)


def test_the_last_block_needs_inter2():
    with pytest.raises(ValueError, match=r"Received: last=True, inter2_expansion_ratio=None$"):
        CAREBlock(last=True, inter2_expansion_ratio=None)


def test_the_last_block_returns_the_bare_interaction():
    block, inputs = built_block(last=True)
    mixed = numpy_of(infer(block.mixer, inputs[..., 2:]))
    expected = numpy_of(infer(block.interaction, [inputs[..., :2], mixed]))
    np.testing.assert_allclose(numpy_of(infer(block, inputs)), expected, rtol=1e-4, atol=1e-5)


def test_starts_near_the_identity():
    inputs = np.random.default_rng(0).normal(size=(1, 4, 3, 8)).astype("float32")
    outputs = numpy_of(infer(CAREBlock("strip_conv"), inputs))
    np.testing.assert_allclose(outputs, inputs, atol=1e-4)


def test_the_memory_is_not_mixed_with_its_neighbours_by_the_token_mixer():
    """Memory reaches two pixels through the two 3x3 convs at most, features nine by the strips."""
    block, _ = built_block()
    from_memory = impulse_response(block, (1, 31), 8, channel=0).any(axis=(0, 2))
    from_features = impulse_response(block, (1, 31), 8, channel=2).any(axis=(0, 2))
    # The middle is column 15. Inter2 alone sees the memory: one pixel to each side.
    assert np.flatnonzero(from_memory).tolist() == [14, 15, 16]
    # Strip of radius 5, then Inter1 and Inter2.
    assert np.flatnonzero(from_features).tolist() == list(range(8, 23))


def test_drop_path_leaves_the_inputs_of_whole_samples():
    block, inputs = built_block(drop_path_rate=0.5)
    outputs = numpy_of(infer(block, inputs, training=True))
    unchanged = (outputs == inputs).all(axis=(1, 2, 3))
    changed = (outputs != inputs).any(axis=(1, 2, 3))
    assert unchanged.any() and changed.any()
    assert (unchanged ^ changed).all()


def test_channels_must_be_a_multiple_of_four():
    with pytest.raises(ValueError, match=r"Received: channels=6$"):
        CAREBlock().build((None, 4, 4, 6))
