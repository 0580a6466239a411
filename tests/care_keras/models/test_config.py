import dataclasses
import json

import pytest

from care_keras.data.record import IMAGENET_MEAN, IMAGENET_STD
from care_keras.models import CONFIGS, Preprocessing
from care_keras.models.config import BASE_CONFIGS


def test_preprocessing_survives_json():
    record = Preprocessing(height=32, width=48, mean=(0.1, 0.2, 0.3), std=(1, 2, 3), crop_ratio=0.9)
    assert Preprocessing(**json.loads(json.dumps(record.to_dict()))) == record


def test_preprocessing_of_imagenet_by_default():
    record = Preprocessing(224, 224)
    assert (record.mean, record.std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert (record.crop_ratio, record.interpolation, record.fit) == (0.875, "bicubic", "crop")


@pytest.mark.parametrize(
    ("change", "received"),
    [
        ({"height": 0}, "height=0, width=8"),
        ({"width": -1}, "height=8, width=-1"),
        ({"mean": (0.5,)}, r"mean=\(0.5,\), std=\(0.229, 0.224, 0.225\)"),
        ({"std": (0.2, 0.0, 0.2)}, r"mean=\(0.485, 0.456, 0.406\), std=\(0.2, 0.0, 0.2\)"),
        ({"crop_ratio": 0.0}, r"crop_ratio=0.0"),
        ({"crop_ratio": 1.01}, r"crop_ratio=1.01"),
        ({"interpolation": "area"}, "interpolation='area'"),
        ({"fit": "pad"}, "fit='pad'"),
    ],
)
def test_preprocessing_errors(change, received):
    with pytest.raises(ValueError, match=rf"Received: {received}$"):
        Preprocessing(**{"height": 8, "width": 8, **change})


def test_configs_by_short_name():
    assert {name: config.name for name, config in BASE_CONFIGS.items()} == {
        "s0": "care_s0",
        "s1": "care_s1",
        "s2": "care_s2",
        "nano": "care_nano",
        "xs": "care_xs",
    }


@pytest.mark.parametrize("config", BASE_CONFIGS.values(), ids=BASE_CONFIGS)
def test_attention_heads_divide_the_global_third(config):
    for width, head_dim in zip(config.channels, config.head_dims, strict=True):
        assert head_dim is None or (width // 4) % head_dim == 0


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_configs_are_immutable_and_hashable(config):
    hash(config)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.depths = (1,)
