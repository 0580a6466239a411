import numpy as np
import pytest

from care_keras.weights import checkpoint_entries
from care_keras.weights.names import CONV, DENSE, DEPTHWISE
from tests.care_keras.helpers import TINY_ABLATIONS, tiny_ablation


def test_every_weight_of_the_model_has_one_entry(tiny_model):
    entries = checkpoint_entries(tiny_model)
    assert len({entry.name for entry in entries}) == len(entries)
    assert sorted(entry.variable.path for entry in entries) == sorted(
        weight.path for weight in tiny_model.weights
    )


@pytest.mark.parametrize("ablation", TINY_ABLATIONS)
def test_every_weight_of_an_ablation_has_one_entry(ablation):
    test_every_weight_of_the_model_has_one_entry(tiny_ablation(ablation))


def test_shapes_are_those_of_pytorch(tiny_model):
    shapes = {entry.name: entry.shape for entry in checkpoint_entries(tiny_model)}
    assert shapes["stem.0.weight"] == (16, 3, 4, 4)
    assert shapes["stages.0.blocks.0.token_mixer.dwconvatt_1.weight"] == (4, 1, 11, 1)
    assert shapes["stages.0.blocks.0.token_mixer.dwconvatt_2.weight"] == (4, 1, 1, 11)
    assert shapes["stages.1.blocks.0.token_mixer.qk.weight"] == (16, 8, 1, 1)
    assert shapes["stages.1.blocks.0.gamma"] == (32,)
    assert shapes["stages.1.downsample.1.weight"] == (32, 16, 2, 2)
    assert shapes["dist_head.fc.weight"] == (7, 96)
    assert "stages.1.blocks.1.gamma" not in shapes
    assert "stages.1.blocks.1.inter_layer.inter2_fc2.weight" not in shapes


def test_layouts():
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    assert np.transpose(array, CONV)[3, 4, 2, 1] == array[1, 2, 3, 4]
    assert np.transpose(array[:, :1], DEPTHWISE)[3, 4, 1, 0] == array[1, 0, 3, 4]
    assert np.transpose(array[0, 0], DENSE).shape == (5, 4)
