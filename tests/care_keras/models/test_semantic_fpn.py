"""Segmentation on a backbone's pyramid: sizes, costs, saving, learning, errors."""

import json

import keras
import numpy as np
import pytest

from care_keras.models import BASE_CONFIGS, CARE_S0, CAREBackbone, Preprocessing, SemanticFPN
from care_keras.models.complexity import complexity
from care_keras.models.head_complexity import head_macs
from tests.care_keras.helpers import infer, numpy_of

HEADS = ("lite", "paper")


def small_backbone(shape=(None, None, 3), **kwargs):
    """Strides of 4, 8 and 16."""
    return CAREBackbone(
        depths=(1, 1, 1),
        channels=(16, 32, 64),
        expansion_ratios=((2, 2), (2, 2), (2, 2)),
        head_dims=(None, 8, 16),
        layer_scale_init=0.5,
        image_shape=shape,
        **kwargs,
    )


def two_stages(shape):
    """Strides of 4 and 8: less to trace where a training is made a graph."""
    return CAREBackbone(
        depths=(1, 1),
        channels=(16, 32),
        expansion_ratios=((2, 2), (2, 2)),
        head_dims=(None, 8),
        layer_scale_init=0.5,
        image_shape=shape,
    )


def images(count=2, height=32, width=48):
    return np.random.default_rng(0).normal(size=(count, height, width, 3)).astype(np.float32)


@pytest.mark.parametrize("head", HEADS)
def test_logits_at_the_finest_stride(head):
    model = SemanticFPN(small_backbone(), classes=5, head=head)
    assert model.output.shape == (None, None, None, 5)
    for height, width in ((16, 16), (32, 48)):
        outputs = model(images(2, height, width))
        assert tuple(outputs.shape) == (2, height // 4, width // 4, 5)


def test_what_heads_cost():
    """At 512x512, of ADE20K's 150 classes: the backbone's 3.74 GMACs and 21.2 of the paper's head.

    The latter is what a Semantic FPN of 256 and 128 channels costs on any backbone of these
    strides, but for its laterals.
    """
    backbone = CARE_S0(include_top=False, input_shape=(512, 512, 3))
    own = complexity(backbone, (512, 512)).macs
    lite, paper = (head_macs(SemanticFPN(backbone, 150, head=head)) for head in HEADS)
    assert own == pytest.approx(3.74e9, rel=1e-3)
    assert lite <= 0.12 * own
    assert paper == pytest.approx(21.2e9, rel=3e-3)


@pytest.mark.parametrize("head", HEADS)
def test_saved_and_loaded(head, tmp_path):
    record = Preprocessing(height=32, width=48)
    model = SemanticFPN(
        small_backbone(), 3, head=head, preprocessing=record, labels=("sky", "road", "car")
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, SemanticFPN) and isinstance(loaded.backbone, CAREBackbone)
    assert loaded.preprocessing == record and loaded.labels == ("sky", "road", "car")
    found, expected = (numpy_of(infer(one, images())) for one in (loaded, model))
    np.testing.assert_array_equal(found, expected)


def test_config_is_json_and_complete():
    model = SemanticFPN(small_backbone(), 4, head="paper", dropout=0.3, name="net", dtype="float32")
    config = json.loads(json.dumps(model.get_config()))
    assert SemanticFPN.from_config(config).get_config() == config


def test_a_frozen_backbone_stays_frozen():
    backbone = small_backbone()
    backbone.trainable = False
    model = SemanticFPN.from_config(SemanticFPN(backbone, 4).get_config())
    assert not model.backbone.trainable_weights and model.trainable_weights


def test_mixed_precision_keeps_logits_whole():
    model = SemanticFPN(small_backbone(dtype="mixed_float16"), 4)
    assert model.dtype_policy.name == "mixed_float16"
    assert keras.backend.standardize_dtype(model(images()).dtype) == "float32"


def test_a_pyramid_on_another_backbone():
    """Whatever has `pyramid_outputs`, as KerasHub's backbones have."""
    inputs = keras.Input((32, 32, 3))
    fine = keras.layers.Conv2D(8, 2, strides=2)(inputs)
    coarse = keras.layers.Conv2D(16, 2, strides=2)(fine)
    other = keras.Model(inputs, coarse)
    other.pyramid_outputs = {"P1": fine, "P2": coarse}
    assert SemanticFPN(other, 7).output.shape == (None, 16, 16, 7)


@pytest.mark.every_backend
def test_one_image_can_be_learned():
    """Left and right of an image: a head that mixes up places could not."""
    keras.utils.set_random_seed(0)
    model = SemanticFPN(two_stages((32, 32, 3)), 2, dropout=0.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, jit_compile=keras.backend.backend() == "jax")
    x = images(4, 32, 32)
    x[:, :, 16:] += 1.0
    y = np.zeros((4, 8, 8), np.int32)
    y[:, :, 4:] = 1
    history = model.fit(x, y, epochs=25, verbose=0).history["loss"]
    assert history[-1] < 0.25 * history[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: SemanticFPN(b, 4, head="heavy"), "Received: head='heavy'"),
        (lambda b: SemanticFPN(b, 0), "Received: classes=0"),
        (lambda b: SemanticFPN(b, 2, labels=["a"]), "1 labels for classes=2"),
        (lambda b: SemanticFPN(keras.Sequential([keras.Input((8, 8, 3))]), 2), "Sequential"),
        (lambda b: SemanticFPN(small_backbone((40, 32, 3)), 2), "multiples of 16 .*: 40x32"),
        (lambda b: SemanticFPN(b, 2)(images(1, 32, 40)), "multiples of 16 .*Received: 32x40"),
    ],
)
def test_errors(change, message):
    with pytest.raises(ValueError, match=message):
        change(small_backbone())


def test_a_gap_in_the_pyramid_is_refused():
    backbone = small_backbone()
    del backbone._pyramid_outputs["P3"]
    with pytest.raises(ValueError, match=r"follow one another.*Received: \['P2', 'P4'\]"):
        SemanticFPN(backbone, 2)


@pytest.mark.parametrize("name", BASE_CONFIGS)
def test_on_every_care(name):
    config = BASE_CONFIGS[name]
    backbone = CAREBackbone(**config.backbone_kwargs())
    size = backbone.min_image_size
    model = SemanticFPN(backbone, 3)
    stride = config.stem_stride
    assert tuple(model(images(1, size, 2 * size)).shape) == (
        1,
        size // stride,
        2 * size // stride,
        3,
    )
