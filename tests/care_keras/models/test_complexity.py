import keras
import pytest

from care_keras.layers import CAREBlock
from care_keras.models import CONFIGS, CAREBackbone, build_model
from care_keras.models.complexity import complexity

PUBLISHED = {  # Trainable parameters, GMACs of conv and dense layers at 224x224.
    "s0": (7_340_000, "0.7153"),
    "s1": (9_602_424, "1.0253"),
    "s2": (19_481_288, "1.9182"),
}


@pytest.fixture(autouse=True, scope="module")
def cheap_initializer():
    """Counts do not depend on values, and drawing 36 million of them takes long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            keras.initializers.TruncatedNormal,
            "__call__",
            lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype),
        )
        yield


@pytest.fixture(scope="module")
def nano():
    return build_model(CONFIGS["nano"])


@pytest.mark.parametrize("arch", PUBLISHED)
def test_published_models(arch):
    counts = complexity(build_model(CONFIGS[arch]), (224, 224, 3))
    parameters, gmacs = PUBLISHED[arch]
    assert counts.parameters == parameters
    assert f"{counts.conv_dense_macs / 1e9:.4f}" == gmacs


def test_a_small_network_by_hand():
    backbone = CAREBackbone(
        depths=(1, 1),
        channels=(16, 32),
        expansion_ratios=((2, 2), (2, 3)),
        head_dims=(None, 4),
        stem_stride=2,
    )
    counts = complexity(backbone, (20, 12))
    stem, stage1, stage2 = counts.parts
    assert [(p.name, p.height, p.width) for p in counts.parts] == [
        ("stem", 10, 6),
        ("stage1", 10, 6),
        ("stage2", 5, 3),
    ]
    assert stem.conv_dense_macs == 60 * (2 * 2 * 3 * 16)
    mixer = 4 * (11 + 11 + 9 + 49)
    inter1 = 12 * 24 + 24 * 9 + 24 * 12
    inter2 = 16 * 32 + 32 * 9 + 32 * 16
    assert stage1.conv_dense_macs == 60 * (mixer + inter1 + inter2)
    downsample = 2 * 2 * 16 * 32
    mixer = 8 * 16 + 8 * (9 + 49)
    inter1 = 24 * 48 + 48 * 9 + 48 * 24
    last_inter2 = 32 * 96 + 96 * 9
    assert stage2.conv_dense_macs == 15 * (downsample + mixer + inter1 + last_inter2)
    assert (stage1.attention_macs, stage2.attention_macs) == (0, 15 * 2 * 8 * 4)
    assert counts.attention_macs == stage2.attention_macs


def test_parts_add_up_to_the_model(nano):
    counts = complexity(nano, (32, 32, 3))
    assert [p.name for p in counts.parts] == ["stem", "stage1", "stage2", "stage3", "classifier"]
    assert counts.parameters == nano.count_params() - sum(
        int(keras.ops.size(w)) for w in nano.non_trainable_weights
    )


def test_everything_but_the_heads_grows_linearly_with_the_tokens(nano):
    small, large = complexity(nano, (32, 32)), complexity(nano, (64, 96))
    assert large.attention_macs == 6 * small.attention_macs
    heads = small.parts[-1].conv_dense_macs
    assert large.conv_dense_macs - heads == 6 * (small.conv_dense_macs - heads)


def test_a_pooled_backbone_is_counted_as_the_backbone():
    pooled = build_model(CONFIGS["nano"], include_top=False, pooling="avg")
    backbone = complexity(build_model(CONFIGS["nano"], include_top=False), (32, 32))
    assert complexity(pooled, (32, 32)).parts == backbone.parts


@pytest.mark.parametrize(
    "image_shape, message", [((7, 32), "too small"), ((32,), "height, width"), ((0, 32), "height")]
)
def test_bad_sizes(nano, image_shape, message):
    with pytest.raises(ValueError, match=rf"{message}.*Received: image_shape="):
        complexity(nano, image_shape)


def test_a_layer_of_unknown_work_is_refused_and_not_counted_as_nothing():
    inputs = keras.Input((8, 8, 16))
    x = CAREBlock("strip_conv")(inputs)
    model = keras.Model(inputs, keras.layers.Conv2DTranspose(4, 2)(x))
    with pytest.raises(ValueError, match=r"not known.*Conv2DTranspose"):
        complexity(model, (8, 8))
