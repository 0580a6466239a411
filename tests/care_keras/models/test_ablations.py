"""The ablations: each changes one thing, and costs what the paper says it does."""

import dataclasses

import keras
import numpy as np
import pytest

from care_keras.layers import CAREBlock
from care_keras.models import ABLATIONS, CONFIGS, CAREBackbone, build_model
from care_keras.models.complexity import complexity
from care_keras.models.config import BASE_CONFIGS
from tests.care_keras.helpers import (
    COMPILE,
    TINY_ABLATIONS,
    infer,
    numpy_of,
    random_images,
    tiny_ablation,
    tiny_backbone,
)

# The fields of the config that each changes, beside its name.
CHANGED = {
    "sym": {"decoupling", "head_dims"},
    "stacked": {"decoupling", "head_dims"},
    "no_local": {"local_kernels"},
    "no_global": {"global_mixing"},
    "no_inter1": {"inter1"},
    "no_inter2": {"inter2"},
    "no_memory": {"memory", "channels"},
    "one_head": {"heads"},
    "local_3_3": {"local_kernels"},
    "local_3_5": {"local_kernels"},
}
ablations = pytest.mark.parametrize("ablation", ABLATIONS)


def test_base_models_come_first_and_ablations_are_named_after_them():
    names = [f"{base}_{ablation}" for base in BASE_CONFIGS for ablation in ABLATIONS]
    assert list(CONFIGS) == [*BASE_CONFIGS, *names]
    assert [config.name for config in CONFIGS.values()] == [f"care_{name}" for name in CONFIGS]


@ablations
@pytest.mark.parametrize("base", BASE_CONFIGS)
def test_nothing_else_is_changed(base, ablation):
    before, after = (dataclasses.asdict(CONFIGS[name]) for name in (base, f"{base}_{ablation}"))
    changed = {field for field in before if before[field] != after[field]}
    assert changed == {"name", *CHANGED[ablation]}


@pytest.mark.parametrize(("ablation", "share"), [("sym", 2), ("stacked", 1), (None, 3)])
@pytest.mark.parametrize("base", BASE_CONFIGS)
def test_attention_keeps_its_number_of_heads(base, ablation, share):
    config = CONFIGS[f"{base}_{ablation}" if ablation else base]
    for width, head_dim, of_base in zip(
        config.channels, config.head_dims, CONFIGS[base].head_dims, strict=True
    ):
        if head_dim is not None:
            assert (3 * width // 4) // share / head_dim == (width // 4) / of_base


def block_of(ablation, last=False):
    blocks = [x for x in tiny_ablation(ablation).backbone.layers if isinstance(x, CAREBlock)]
    return blocks[-1 if last else 0]


def test_the_last_block_alone_keeps_inter2():
    assert block_of("no_inter2").interaction.inter2 is None
    last = block_of("no_inter2", last=True)
    assert last.interaction.inter2.expansion_ratio == last.inter2_expansion_ratio == 3


def test_without_memory_the_blocks_are_three_quarters_wide():
    block = block_of("no_memory")
    assert block.memory_channels == 0 and block.interaction.inter2.norm.gamma.shape == (12,)


@pytest.fixture(scope="module")
def s2():
    """Complexity of S2 and of what is compared with it, at 224x224."""
    return {
        name: complexity(build_model(CONFIGS[name]), (224, 224))
        for name in ("s2", "s2_sym", "s2_stacked", "s2_no_inter2")
    }


def test_the_published_directions_of_cost_hold(s2):
    """Asymmetric decoupling is cheaper than symmetric, that than stacking."""
    assert f"{s2['s2'].conv_dense_macs / 1e9:.4f}" == "1.9182"
    for kind in ("conv_dense_macs", "attention_macs", "parameters"):
        base, symmetric, stacked = (getattr(s2[x], kind) for x in ("s2", "s2_sym", "s2_stacked"))
        assert base < symmetric < stacked
    assert f"{s2['s2_sym'].conv_dense_macs / 1e9:.4f}" == "1.9339"
    assert f"{s2['s2_stacked'].conv_dense_macs / 1e9:.4f}" == "2.0483"


def test_without_inter2_a_block_loses_that_and_no_more(s2):
    """Its share by hand, of 24 of the 25 blocks, which have (4, 4) as expansion ratios."""
    lost = 0
    for width, pixels, blocks in zip(
        CONFIGS["s2"].channels, (56**2, 28**2, 14**2, 7**2), (3, 6, 10, 5), strict=True
    ):
        lost += blocks * pixels * (2 * width * 4 * width + 4 * width * 9)
    assert s2["s2"].conv_dense_macs - s2["s2_no_inter2"].conv_dense_macs == lost


@ablations
def test_survives_saving(ablation, tmp_path):
    model = tiny_ablation(ablation)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert loaded.backbone.get_config() == model.backbone.get_config()
    images = random_images(2)
    np.testing.assert_array_equal(numpy_of(infer(loaded, images)), numpy_of(infer(model, images)))


def test_one_head_learns_from_plain_labels_and_from_a_teacher():
    model = tiny_ablation("one_head")
    model.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["sparse_categorical_accuracy"],
        **COMPILE,
    )
    images, labels = random_images(6), np.arange(6) % 3
    before = model.evaluate(images, labels, verbose=0, return_dict=True)["loss"]
    for targets in (labels, {"head": labels, "dist_head": labels}):
        history = model.fit(images, targets, batch_size=6, epochs=4, verbose=0).history
    assert history["loss"][-1] < 0.5 * before
    assert history["sparse_categorical_accuracy"][-1] >= 5 / 6


def test_one_head_is_taught_by_labels_and_teacher_in_their_shares():
    model = tiny_ablation("one_head")
    model.distillation_alpha = 0.25
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels, teacher = random_images(3), np.array([0, 1, 2]), np.array([2, 2, 2])
    outputs = model(images, training=True)
    assert set(outputs) == {"head", "dist_head"}

    def loss(targets):
        return float(model.compute_loss(y=targets, y_pred=outputs))

    expected = 0.75 * loss(labels) + 0.25 * loss(teacher)
    assert abs(loss({"head": labels, "dist_head": teacher}) - expected) < 1e-5
    assert abs(loss(labels) - loss(teacher)) > 0.01


def test_a_config_without_the_switches_is_the_base_model():
    """As files have it that were written before there were any."""
    backbone = tiny_backbone()
    config = backbone.get_config()
    for switch in ("decoupling", "local_kernels", "global_mixing", "inter1", "inter2", "memory"):
        del config[switch]
    assert CAREBackbone.from_config(config).get_config() == backbone.get_config()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"memory": False}, "multiple of 3 .*Received: .*channels=\\(8, 16\\)"),
        ({"decoupling": "symmetric"}, "Received: 3 of channels=6"),
        ({"decoupling": "half"}, "Received: decoupling='half'"),
        ({"local_kernels": (2,)}, "Received: local_kernels="),
    ],
)
def test_switches_that_do_not_fit_the_widths(kwargs, message):
    with pytest.raises(ValueError, match=message):
        tiny_backbone(**kwargs)


def test_heads_are_one_or_two():
    config = dataclasses.replace(TINY_ABLATIONS["one_head"], heads=3)
    with pytest.raises(ValueError, match="Received: heads=3$"):
        build_model(config)
