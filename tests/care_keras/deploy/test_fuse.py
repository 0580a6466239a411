"""fuse(): the deploy form computes what the training form does at inference."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from care_keras import primitives as p
from care_keras.deploy import DeployModel, Rewrites, fuse
from care_keras.layers import CAREBlock, DualClassifierHead
from care_keras.models import CONFIGS, build_model
from care_keras.weights import import_weights
from tests.care_keras.helpers import (
    TINY,
    TINY_ABLATIONS,
    infer,
    numpy_of,
    random_images,
    randomize_weights,
    tiny_ablation,
    tiny_backbone,
    tiny_classifier,
)

LABELS = ("cat", "dog", "fox")
EVERY_REWRITE = [
    Rewrites(),
    Rewrites(fold_batch_norm=False),
    Rewrites(merge_heads=False),
    Rewrites(split_wide_depthwise=False),
    Rewrites(dense_narrow=True),
    Rewrites(split_strips=False),
    Rewrites(division_free=False),
    Rewrites(fold_layer_scale=True),
    Rewrites(small_sums=True),
    Rewrites(small_sums=True, division_free=False, merge_heads=False),
]


def rewrite_name(rewrites):
    changed = [
        field.name
        for field in dataclasses.fields(rewrites)
        if getattr(rewrites, field.name) != field.default
    ]
    return "_".join(changed) or "defaults"


@pytest.fixture(scope="module")
def classifier():
    return tiny_classifier(preprocessing=TINY.preprocessing, labels=LABELS)


@pytest.fixture(scope="module")
def deployed(classifier):
    return fuse(classifier)


@pytest.fixture(scope="module")
def logits(classifier):
    return numpy_of(infer(classifier, random_images()))


def assert_equal_form(actual, expected, tolerance=1e-4):
    """`tolerance` is absolute below 1, and relative to the largest value above."""
    actual, expected = numpy_of(actual), numpy_of(expected)
    assert actual.shape == expected.shape
    assert np.abs(expected).max() > 0.01
    assert np.abs(actual - expected).max() <= tolerance * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("rewrites", EVERY_REWRITE, ids=rewrite_name)
def test_logits_are_those_of_the_training_form(classifier, logits, rewrites):
    model = fuse(classifier, rewrites)
    assert isinstance(model, DeployModel)
    assert_equal_form(infer(model, random_images()), logits)


@pytest.mark.parametrize("size", [(24, 16), (9, 14), (32, 32)])
def test_images_of_another_size(classifier, deployed, size):
    """Attention counts its pixels, and strides that do not divide a size round down."""
    images = random_images(2, *size)
    assert_equal_form(infer(deployed, images), infer(classifier, images))


def test_a_model_of_one_image_size():
    model = tiny_classifier()
    fixed = keras.Model(x := keras.Input((16, 24, 3)), model(x))
    deployed = fuse(fixed)
    assert deployed.input_shape == (None, 16, 24, 3)
    assert_equal_form(infer(deployed, random_images()), infer(model, random_images()))


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone()


@pytest.mark.parametrize("ablation", TINY_ABLATIONS)
def test_logits_and_features_of_ablations(ablation):
    classifier = tiny_ablation(ablation)
    backbone = classifier.backbone
    outputs = backbone.pyramid_outputs | {"logits": classifier.classifier(backbone.output)}
    model = keras.Model(backbone.input, outputs)
    deployed = fuse(model)
    for size in ((16, 24), (21, 15)):
        images = random_images(2, *size)
        actual, expected = infer(deployed, images), infer(model, images)
        assert list(actual) == ["P2", "P3", "logits"]
        for name in expected:
            assert_equal_form(actual[name], expected[name])


@pytest.mark.parametrize(
    ("ablation", "rewrites"),
    [
        ("no_inter2", Rewrites(fold_layer_scale=True)),
        ("one_head", Rewrites(merge_heads=False)),
        ("stacked", Rewrites(division_free=False, split_strips=False)),
        ("no_memory", Rewrites(fold_batch_norm=False)),
        ("local_3_5", Rewrites(dense_narrow=True)),
        ("stacked", Rewrites(small_sums=True)),
        ("one_head", Rewrites(small_sums=True)),
    ],
)
def test_rewrites_of_ablations(ablation, rewrites):
    model = tiny_ablation(ablation)
    assert_equal_form(infer(fuse(model, rewrites), random_images()), infer(model, random_images()))


def test_a_backbone(backbone):
    deployed = fuse(backbone)
    assert deployed.min_image_size == backbone.min_image_size == 8
    assert_equal_form(infer(deployed, random_images()), infer(backbone, random_images()))


def test_features_of_every_stage_by_name(backbone):
    model = keras.Model(backbone.input, backbone.pyramid_outputs)
    outputs = infer(fuse(model), random_images())
    expected = infer(model, random_images())
    assert list(outputs) == list(expected) == ["P2", "P3"]
    for name in expected:
        assert_equal_form(outputs[name], expected[name])


def test_other_layers_are_primitives_too(backbone):
    x = keras.layers.GlobalAveragePooling2D(name="pooling")(backbone.output)
    model = keras.Model(backbone.input, keras.layers.Dense(5, name="dense")(x))
    randomize_weights(model.get_layer("dense"))
    deployed = fuse(model)
    assert deployed.foreign_operations == []
    assert isinstance(deployed.get_layer("dense_product"), p.Conv2D)
    assert_equal_form(infer(deployed, random_images()), infer(model, random_images()))


def test_what_has_no_primitives_is_taken_over(backbone):
    model = keras.Model(
        backbone.input, keras.layers.Dense(5, "celu", name="dense")(backbone.output)
    )
    randomize_weights(model.get_layer("dense"))
    deployed = fuse(model)
    assert deployed.foreign_operations == [deployed.get_layer("dense")]
    assert "celu" in deployed.foreign_reasons["dense"]
    assert deployed.get_layer("dense") is not model.get_layer("dense")
    assert_equal_form(infer(deployed, random_images()), infer(model, random_images()))


def test_a_batch_norm_behind_a_backbone(backbone):
    """It is folded into the last convolution of CARE's last block."""
    norm = keras.layers.BatchNormalization(name="last_norm")
    model = keras.Model(backbone.input, norm(backbone.output))
    randomize_weights(norm)
    deployed = fuse(model)
    assert not [layer for layer in deployed.layers if layer.name.startswith("last_norm")]
    assert_equal_form(infer(deployed, random_images()), infer(model, random_images()))


def test_a_batch_norm_that_meets_no_convolution(backbone):
    """It cannot be folded, and its BatchNorm becomes a scale and an offset."""
    x = keras.layers.MaxPooling2D()(backbone.output)
    norm = keras.layers.BatchNormalization(name="last_norm")
    model = keras.Model(backbone.input, norm(x))
    randomize_weights(norm)
    deployed = fuse(model)
    assert isinstance(deployed.get_layer("last_norm"), p.DepthwiseConv2D)
    assert_equal_form(infer(deployed, random_images()), infer(model, random_images()))


def test_probabilities():
    model = tiny_classifier(classifier_activation="softmax")
    deployed = fuse(model)
    assert deployed.classifier_activation == "softmax"
    outputs = numpy_of(infer(deployed, random_images()))
    np.testing.assert_allclose(outputs.sum(axis=-1), 1.0, atol=1e-5)
    assert_equal_form(outputs, infer(model, random_images()))


def test_what_phones_run_slowly_is_gone(deployed):
    taps = [
        np.prod(layer.kernel_size)
        for layer in deployed.layers
        if isinstance(layer, p.DepthwiseConv2D)
    ]
    assert 0 < max(taps) <= 25
    unwanted = (
        keras.layers.BatchNormalization,
        CAREBlock,
        DualClassifierHead,
        p.Divide,
    )
    assert not [layer.name for layer in deployed.layers if isinstance(layer, unwanted)]
    logits_convs = [
        layer
        for layer in deployed.layers
        if isinstance(layer, p.Conv2D) and layer.filters == TINY.classes
    ]
    assert len(logits_convs) == 1


def test_a_rewrite_that_is_off_leaves_its_operation(classifier):
    deployed = fuse(classifier, Rewrites(division_free=False, fold_batch_norm=False))
    assert any(isinstance(layer, p.Divide) for layer in deployed.layers)
    norms = [layer for layer in deployed.layers if layer.name.endswith("_norm")]
    assert norms and all(isinstance(layer, p.DepthwiseConv2D) for layer in norms)


def test_a_wide_convolution_stays_where_it_is_not_split(classifier):
    model = fuse(classifier, Rewrites(split_wide_depthwise=False))
    sizes = [x.kernel_size for x in model.layers if isinstance(x, p.DepthwiseConv2D)]
    assert (7, 7) in sizes


def test_a_saved_model_is_the_same(deployed, tmp_path):
    path = tmp_path / "deploy.keras"
    deployed.save(path)
    loaded = keras.models.load_model(path, safe_mode=True)
    images = random_images()
    np.testing.assert_array_equal(
        numpy_of(infer(loaded, images)), numpy_of(infer(deployed, images))
    )
    assert isinstance(loaded, DeployModel)
    assert loaded.preprocessing == TINY.preprocessing
    assert loaded.labels == LABELS
    assert loaded.classifier_activation == "linear"
    assert loaded.min_image_size == 8


def test_the_argument_is_left_as_it_was(logits):
    model = tiny_classifier(preprocessing=TINY.preprocessing)
    before = [weight.copy() for weight in model.get_weights()]
    deployed = fuse(model)
    for weight in deployed.weights:
        weight.assign(weight + 1.0)
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
    np.testing.assert_array_equal(numpy_of(infer(model, random_images())), logits)
    assert not {id(weight) for weight in model.weights} & {id(w) for w in deployed.weights}


def test_a_model_of_half_precision_deploys_in_float32():
    model = tiny_classifier(dtype="mixed_bfloat16")
    deployed = fuse(model)
    assert {weight.dtype for weight in deployed.weights} == {"float32"}
    expected = numpy_of(infer(tiny_classifier(), random_images()))
    assert_equal_form(infer(deployed, random_images()), expected)


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


def test_a_subclassed_model_is_refused():
    with pytest.raises(ValueError, match=r"Only functional models.*Received: .*Subclassed"):
        fuse(Subclassed())


def test_a_deploy_form_is_refused(deployed):
    with pytest.raises(ValueError, match=r"deploy form already.*Received: .*_deploy"):
        fuse(deployed)


def test_an_activation_that_is_no_primitive_is_taken_over(backbone):
    head = DualClassifierHead(3, activation="sigmoid")
    model = keras.Model(backbone.input, head(backbone.output))
    randomize_weights(model)
    deployed = fuse(model)
    assert [type(one).__name__ for one in deployed.foreign_operations] == ["Activation"]
    assert_equal_form(infer(deployed, random_images()), infer(model, random_images()))


def pooled(name="pooled"):
    """As `CARE_S0(include_top=False, pooling="avg")`."""
    b = tiny_backbone()
    outputs = keras.layers.GlobalAveragePooling2D(name="avg_pool")(b.output)
    return keras.Model(b.input, outputs, name=name)


def shared_dense():
    """A layer that is called twice."""
    b = pooled()
    dense = keras.layers.Dense(b.output.shape[-1], activation="tanh", name="shared")
    return keras.Model(b.input, dense(dense(b.output)))


def shared_backbone():
    """A model within the model that is called twice."""
    b = pooled()
    images = keras.Input((None, None, 3))
    flipped = keras.ops.flip(images, axis=2)
    return keras.Model(images, keras.layers.Add()([b(images), b(flipped)]))


def two_backbones():
    """Two models within the model whose layers have the same names."""
    images = keras.Input((None, None, 3))
    outputs = [pooled(name)(images) for name in ("left", "right")]
    return keras.Model(images, keras.layers.Concatenate()(outputs))


def shared_convolution():
    """A convolution that a BatchNorm follows once, and a Dense the other time."""
    images = keras.Input((16, 24, 3))
    conv = keras.layers.Conv2D(3, 2, 2, name="patches")
    first = conv(images)
    second = conv(keras.layers.UpSampling2D(2)(first))
    norm = keras.layers.BatchNormalization(name="norm")
    x = pooled()(norm(second))
    flat = keras.layers.GlobalAveragePooling2D()(first)
    return keras.Model(images, keras.layers.Concatenate()([x, flat]))


def convolution_that_is_an_output():
    """A BatchNorm follows a convolution whose output the model gives as well."""
    images = keras.Input((16, 24, 3))
    patches = keras.layers.Conv2D(3, 1, name="patches")(images)
    x = keras.layers.BatchNormalization(name="norm")(patches)
    x = pooled()(x)
    flat = keras.layers.GlobalAveragePooling2D()(patches)
    return keras.Model(images, [keras.layers.Concatenate()([x, flat]), patches])


def a_head():
    b = pooled()
    x = keras.layers.Dropout(0.5)(b.output)
    return keras.Model(b.input, keras.layers.Dense(4, activation="softmax")(x))


def rescaled():
    images = keras.Input((None, None, 3))
    x = pooled()(keras.layers.Rescaling(1 / 127.5, -1)(images))
    return keras.Model(images, keras.layers.Dense(4)(x))


def segmenter():
    b = tiny_backbone()
    x = keras.layers.Conv2D(8, 1, activation="relu")(b.output)
    x = keras.layers.UpSampling2D(8, interpolation="bilinear")(x)
    return keras.Model(b.input, keras.layers.Conv2D(5, 1)(x))


def sequential():
    layers = [pooled(), keras.layers.Dense(4)]
    return keras.Sequential([keras.Input((None, None, 3)), *layers])


def sequential_inside():
    images = keras.Input((None, None, 3))
    return keras.Model(images, keras.layers.Dense(4)(sequential()(images)))


COMPOSITIONS = (
    a_head,
    rescaled,
    segmenter,
    sequential,
    sequential_inside,
    pooled,
    shared_dense,
    shared_backbone,
    two_backbones,
    shared_convolution,
    convolution_that_is_an_output,
)


@pytest.mark.parametrize("make", COMPOSITIONS, ids=lambda make: make.__name__)
def test_models_around_a_backbone(make):
    model = make()
    randomize_weights(model)
    deployed = fuse(model)
    kinds = [type(operation).__name__ for operation in deployed.foreign_operations]
    assert kinds == (["Flip"] if make is shared_backbone else [])
    images = random_images()
    expected, actual = infer(model, images), infer(deployed, images)
    for one, other in zip(keras.tree.flatten(actual), keras.tree.flatten(expected), strict=True):
        assert_equal_form(one, other)
    names = [operation.name for operation in deployed.operations]
    assert len(set(names)) == len(names)
    # What was CARE's is fused inside of another model too.
    kinds = {type(operation) for operation in deployed.operations}
    assert p.MatMul in kinds and not kinds & {CAREBlock, keras.layers.BatchNormalization}
    one_tap = [
        layer.name
        for layer in deployed.layers
        if isinstance(layer, p.DepthwiseConv2D) and layer.kernel_size == (1, 1)
    ]
    # A norm that cannot be folded into the convolution before it is folded into the stem.
    assert one_tap == []


def test_a_layer_called_twice_computes_the_same_twice():
    model = shared_dense()
    randomize_weights(model.get_layer("shared"))
    deployed = fuse(model)
    first, second = (deployed.get_layer(f"shared_product{end}") for end in ("", "_1"))
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_foreign_layer_called_twice_keeps_one_set_of_weights():
    b = pooled()
    dense = keras.layers.Dense(b.output.shape[-1], activation="celu", name="shared")
    model = keras.Model(b.input, dense(dense(b.output)))
    randomize_weights(dense)
    deployed = fuse(model)
    assert deployed.foreign_operations == [deployed.get_layer("shared")]
    assert_equal_form(infer(deployed, random_images()), infer(model, random_images()))


@pytest.mark.parametrize("fails", ["get_config", "from_config", "set_weights"])
def test_a_layer_that_cannot_be_made_again_serves_both_models(fails):
    class Foreign(keras.layers.Layer):
        def build(self, input_shape):
            self.kernel = self.add_weight((input_shape[-1],) * 2, "glorot_uniform")

        def call(self, inputs):
            return ops.celu(ops.matmul(inputs, self.kernel))

    def failing(*_):
        raise TypeError("no such argument")

    setattr(Foreign, fails, classmethod(failing) if fails == "from_config" else failing)
    b = pooled()
    foreign = Foreign(name="foreign")
    model = keras.Model(b.input, foreign(foreign(b.output)))
    before = numpy_of(infer(model, random_images()))
    deployed = fuse(model)
    assert deployed.foreign_operations == [foreign]
    assert_equal_form(infer(deployed, random_images()), before)
    np.testing.assert_array_equal(numpy_of(infer(model, random_images())), before)


def test_a_sequential_model_that_is_not_built_is_refused():
    with pytest.raises(ValueError, match=r"Only functional models.*Received: .*Sequential"):
        fuse(keras.Sequential([keras.layers.Dense(3)]))


@pytest.mark.every_backend
def test_logits_of_the_published_implementation(golden_folder, weights_rule):
    expected = np.load(golden_folder / "care_s0_192x256.npz")
    shapes = weights_rule.state_dict_shapes("s0")
    model = build_model(CONFIGS["s0"], classifier_activation=None)
    import_weights(model, weights_rule.make_state_dict(shapes, str(expected["salt"])))
    record = model.preprocessing
    images = (expected["images_uint8"] / 255.0 - record.mean) / record.std
    actual = fuse(model)(ops.convert_to_tensor(images.astype("float32")), training=False)
    assert_equal_form(actual, expected["logits"])
