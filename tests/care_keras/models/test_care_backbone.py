import json

import keras
import numpy as np
import pytest

from care_keras.models import CAREBackbone
from tests.care_keras.helpers import (
    TINY,
    infer,
    numpy_of,
    random_images,
    tiny_backbone,
)

FOUR_STAGES = {
    "depths": (1, 2, 1, 1),
    "channels": (8, 8, 16, 16),
    "expansion_ratios": ((1, 1), (1, 2), (1, 1), (2, 3)),
    "head_dims": (None, None, 2, 4),
}


def pyramid_shapes(outputs):
    return {level: tuple(features.shape) for level, features in outputs.items()}


@pytest.mark.parametrize("size", [(64, 64), (32, 32), (67, 97), (32, 127), (129, 64), (224, 224)])
def test_pyramid_strides(size):
    backbone = CAREBackbone(**FOUR_STAGES, image_shape=(*size, 3))
    height, width = size
    assert pyramid_shapes(backbone.pyramid_outputs) == {
        "P2": (None, height // 4, width // 4, 8),
        "P3": (None, height // 8, width // 8, 8),
        "P4": (None, height // 16, width // 16, 16),
        "P5": (None, height // 32, width // 32, 48),
    }
    assert backbone.output is backbone.pyramid_outputs["P5"]


@pytest.mark.parametrize(("stem_stride", "levels"), [(1, ["P0", "P1"]), (2, ["P1", "P2"])])
def test_levels_are_logarithms_of_the_strides(stem_stride, levels):
    backbone = CAREBackbone(**{**TINY.backbone_kwargs(), "stem_stride": stem_stride})
    assert list(backbone.pyramid_outputs) == levels


def test_one_model_takes_every_size():
    backbone = tiny_backbone(**FOUR_STAGES)
    model = keras.Model(backbone.inputs, backbone.pyramid_outputs)
    for height, width in ((32, 64), (67, 45)):
        images = random_images(2, height, width)
        outputs = infer(model, images)
        assert list(outputs) == ["P2", "P3", "P4", "P5"]
        for level, features in outputs.items():
            stride = 2 ** int(level[1])
            assert features.shape[:3] == (2, height // stride, width // stride)
            assert np.isfinite(numpy_of(features)).all()
        np.testing.assert_array_equal(numpy_of(outputs["P5"]), numpy_of(infer(backbone, images)))


def test_rows_beyond_the_strides_are_not_seen():
    backbone = tiny_backbone()
    images = random_images(1, 19, 27)
    expected = numpy_of(infer(backbone, images[:, :16, :24]))
    np.testing.assert_allclose(numpy_of(infer(backbone, images)), expected, atol=1e-6)


def test_smallest_image():
    backbone = CAREBackbone(**FOUR_STAGES)
    assert backbone.min_image_size == 32
    assert CAREBackbone(**FOUR_STAGES, image_shape=(32, 32, 3)).output.shape[1:3] == (1, 1)
    with pytest.raises(ValueError, match=r"Received: image_shape=\(32, 31, 3\)$"):
        CAREBackbone(**FOUR_STAGES, image_shape=(32, 31, 3))


def test_config_holds_every_argument():
    arguments = {
        **TINY.backbone_kwargs(),
        "layer_scale_init": 0.3,
        "drop_path_rate": 0.2,
        "dropout": 0.1,
        "image_shape": (None, 24, 3),
        "name": "encoder",
    }
    backbone = CAREBackbone(**arguments, dtype="mixed_bfloat16")
    config = json.loads(json.dumps(backbone.get_config()))
    assert set(arguments) < set(config)
    restored = CAREBackbone.from_config(config)
    assert restored.get_config() == backbone.get_config()
    for name, value in arguments.items():
        assert getattr(restored, name) == value
    assert restored.dtype_policy.name == "mixed_bfloat16"


def test_saved_and_loaded(tmp_path):
    backbone = tiny_backbone(drop_path_rate=0.1)
    backbone.save(tmp_path / "backbone.keras")
    loaded = keras.models.load_model(tmp_path / "backbone.keras")
    assert pyramid_shapes(loaded.pyramid_outputs) == pyramid_shapes(backbone.pyramid_outputs)
    images = random_images()
    np.testing.assert_allclose(
        numpy_of(infer(loaded, images)), numpy_of(infer(backbone, images)), atol=1e-5
    )


def test_stays_frozen_when_saved(tmp_path):
    backbone = tiny_backbone()
    backbone.trainable = False
    backbone.save(tmp_path / "backbone.keras")
    assert not keras.models.load_model(tmp_path / "backbone.keras").trainable_weights


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_mixed_precision(dtype):
    images = random_images()
    expected = numpy_of(infer(tiny_backbone(), images))
    backbone = tiny_backbone(dtype=f"mixed_{dtype}")
    outputs = infer(backbone, images)
    assert keras.backend.standardize_dtype(outputs.dtype) == dtype
    assert {weight.dtype for weight in backbone.weights} == {"float32"}
    difference = np.abs(numpy_of(outputs) - expected).max()
    assert difference < (0.02 if dtype == "float16" else 0.1) * np.abs(expected).max()


def test_follows_the_global_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    backbone = CAREBackbone(**TINY.backbone_kwargs())
    policies = {layer.dtype_policy.name for layer in backbone.layers[1:]}
    assert policies == {backbone.dtype_policy.name} == {"mixed_bfloat16"}


def test_drop_path_grows_to_its_rate():
    backbone = CAREBackbone(**FOUR_STAGES, drop_path_rate=0.2)
    rates = [layer.drop_path_rate for layer in backbone.layers if "block" in layer.name]
    np.testing.assert_allclose(rates, [0.0, 0.05, 0.1, 0.15, 0.2])


def test_only_the_last_block_expands():
    backbone = CAREBackbone(**FOUR_STAGES)
    blocks = [layer for layer in backbone.layers if "block" in layer.name]
    assert [block.last for block in blocks] == [False] * 4 + [True]
    assert [block.global_branch for block in blocks] == ["strip_conv"] * 3 + ["attention"] * 2


@pytest.mark.parametrize(
    ("change", "received"),
    [
        ({"channels": (8,)}, r"depths=\(1, 1\), channels=\(8,\), .*head_dims=\(None, 2\)"),
        ({"depths": (), "channels": (), "expansion_ratios": (), "head_dims": ()}, r"depths=\(\).*"),
        ({"depths": (1, 0)}, r"depths=\(1, 0\), channels=\(8, 16\)"),
        ({"channels": (8, 18)}, r"depths=\(1, 1\), channels=\(8, 18\)"),
        ({"stem_stride": 3}, "stem_stride=3"),
        ({"stem_stride": 0}, "stem_stride=0"),
        ({"image_shape": (32, 32)}, r"image_shape=\(32, 32\)"),
        ({"image_shape": (3, 32, 32)}, r"image_shape=\(3, 32, 32\)"),
        ({"head_dims": (None, 3)}, "channels=4, head_dim=3"),
    ],
)
def test_errors(change, received):
    with pytest.raises(ValueError, match=rf"Received: {received}$"):
        CAREBackbone(**{**TINY.backbone_kwargs(), **change})


class PyramidDetector(keras.Model):
    """Takes an image encoder the way KerasHub's `RetinaNetBackbone` does."""

    def __init__(self, image_encoder, **kwargs):
        levels = [int(level[1]) for level in image_encoder.pyramid_outputs]
        feature_extractor = keras.Model(
            inputs=image_encoder.inputs,
            outputs={f"P{i}": image_encoder.pyramid_outputs[f"P{i}"] for i in levels},
            name="feature_extractor",
        )
        images = keras.Input((None, None, 3), name="inputs")
        pyramid = feature_extractor(images)
        outputs = {
            level: keras.layers.Conv2D(4, 1, name=f"lateral_{level}")(features)
            for level, features in pyramid.items()
        }
        super().__init__(images, outputs, **kwargs)
        self.image_encoder = image_encoder

    def get_config(self):
        return {"image_encoder": keras.layers.serialize(self.image_encoder)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.layers.deserialize(config["image_encoder"]))


def test_serves_as_the_image_encoder_of_a_keras_hub_detector(tmp_path):
    encoder = tiny_backbone(**FOUR_STAGES)
    detector = PyramidDetector(encoder)
    images = random_images(1, 64, 96)
    outputs = infer(detector, images)
    assert {level: x.shape[1:] for level, x in outputs.items()} == {
        "P2": (16, 24, 4),
        "P3": (8, 12, 4),
        "P4": (4, 6, 4),
        "P5": (2, 3, 4),
    }
    assert keras.Model(encoder.input, encoder.pyramid_outputs["P3"]).output_shape[-1] == 8
    # The very encoder is trained, not a copy of it.
    assert {id(w) for w in encoder.trainable_weights} < {id(w) for w in detector.trainable_weights}

    detector.save(tmp_path / "detector.keras")
    loaded = keras.models.load_model(
        tmp_path / "detector.keras", custom_objects={"PyramidDetector": PyramidDetector}
    )
    for level, features in infer(loaded, images).items():
        np.testing.assert_allclose(numpy_of(features), numpy_of(outputs[level]), atol=1e-5)
