"""KerasHub's own vision models, small ones of random weights: from their file to int8.

KerasHub is no dependency of ours: `pip install keras-hub` runs these.
"""

import keras
import numpy as np
import pytest

from care_keras.convert.conversion import convert_model
from care_keras.convert.preprocessing import model_preprocessing
from care_keras.data.overrides import InputOverrides
from care_keras.data.sources import open_source
from care_keras.litert.file import LiteRTFile
from care_keras.loading import load_any
from care_keras.metrics import snr_db
from care_keras.tflite_file import read_graph, require_integer_only
from tests.care_keras.helpers import numpy_of

hub = pytest.importorskip("keras_hub", reason="keras-hub is not installed")
models = hub.models

pytestmark = pytest.mark.usefixtures("converter_here")
SIZE, CLASSES = 64, 10
IMAGE = (SIZE, SIZE, 3)


def vit(kind, *args, **settings):
    """A transformer of two blocks on patches of 16x16."""
    return getattr(models, kind)(*args, image_shape=IMAGE, **settings)


def deit():
    widths = {"hidden_dim": 32, "intermediate_dim": 64}
    return vit("DeiTBackbone", patch_size=16, num_layers=2, num_heads=2, **widths)


def dinov2(**settings):
    return vit("DINOV2Backbone", 16, 2, 32, 2, 64, position_embedding_shape=IMAGE, **settings)


def mit():
    return models.MiTBackbone(
        [1] * 4,
        4,
        [1, 2, 2, 4],
        [8, 4, 2, 1],
        0.1,
        [7, 3, 3, 3],
        [4, 2, 2, 2],
        image_shape=IMAGE,
        hidden_dims=[16, 24, 32, 64],
    )


def resnet(block, filters, **settings):
    return models.ResNetBackbone(
        [64],
        [7],
        filters,
        [1] * len(filters),
        [1, 2, 2][: len(filters)],
        block,
        image_shape=IMAGE,
        **settings,
    )


def efficientnet(first):
    return models.EfficientNetBackbone(
        stackwise_width_coefficients=[1.0] * 3,
        stackwise_depth_coefficients=[1.0] * 3,
        stackwise_kernel_sizes=[3, 3, 5],
        stackwise_num_repeats=[1] * 3,
        stackwise_input_filters=[32, 16, 24],
        stackwise_output_filters=[16, 24, 40],
        stackwise_expansion_ratios=[1, 6, 6],
        stackwise_squeeze_and_excite_ratios=[0.25] * 3,
        stackwise_strides=[1, 2, 2],
        stackwise_block_types=[first, "v1" if first == "v1" else "unfused", "v1"],
        stackwise_force_input_filters=[0] * 3,
        stackwise_nores_option=[False] * 3,
        input_shape=IMAGE,
    )


def mobilenet():
    return models.MobileNetBackbone(
        [[40, 56], [64, 144, 144]],
        [2, 3],
        [[16, 16], [24, 24, 24]],
        [[3, 3], [5, 5, 5]],
        [[2, 1], [2, 1, 1]],
        [[None, None], [0.25] * 3],
        [["relu", "relu"], ["hard_swish"] * 3],
        [[1, 1], [2, 2, 2]],
        96,
        8,
        2,
        False,
        64,
        squeeze_and_excite=0.5,
        image_shape=IMAGE,
    )


def mobilenet_v5():
    def stages(first, *others):
        return [[first], list(others)]

    return models.MobileNetV5Backbone(
        stackwise_block_types=stages("er", "uir", "mqa"),
        stackwise_num_blocks=[1, 2],
        stackwise_num_filters=stages(24, 32, 32),
        stackwise_strides=stages(2, 2, 1),
        stackwise_act_layers=stages("relu", "relu", "relu"),
        stackwise_exp_ratios=stages(4.0, 4.0, 4.0),
        stackwise_se_ratios=stages(0.0, 0.0, 0.0),
        stackwise_dw_kernel_sizes=stages(0, 5, 0),
        stackwise_dw_start_kernel_sizes=stages(0, 3, 0),
        stackwise_dw_end_kernel_sizes=stages(0, 0, 0),
        stackwise_exp_kernel_sizes=stages(3, 0, 0),
        stackwise_pw_kernel_sizes=stages(1, 0, 0),
        stackwise_num_heads=stages(0, 0, 2),
        stackwise_key_dims=stages(0, 0, 16),
        stackwise_value_dims=stages(0, 0, 16),
        stackwise_kv_strides=stages(0, 0, 1),
        stackwise_use_cpe=stages(False, False, False),
        use_msfa=False,
        image_shape=IMAGE,
    )


def hgnet():
    stages = [[24, 16, 48, 1, 3, 3], [48, 24, 64, 1, 3, 3]]
    return models.HGNetV2Backbone(
        [1, 1],
        32,
        [48, 64],
        [3, 16, 24],
        "relu",
        True,
        stages,
        [False, True],
        [False, True],
        image_shape=IMAGE,
    )


def xception():
    filters = [[16, 32], [64, 64], [64, 128], [128, 128]]
    return models.XceptionBackbone(filters, [False, True, True, False], IMAGE)


def swin():
    return models.SwinTransformerBackbone(IMAGE, 24, [2, 2], [2, 4], 4)


# By the first part of their names in KerasHub, those of a task with an image converter; the noise
# of int8 is that of random weights, some 20 dB in the middle.
CLASSIFIERS = {
    "DeiT": deit,
    "DenseNet": lambda: models.DenseNetBackbone([2, 3], IMAGE, growth_rate=8),
    "EfficientNet": lambda: efficientnet("v1"),
    "HGNetV2": hgnet,
    "MiT": mit,
    "MobileNet": mobilenet,
    "MobileNetV5": mobilenet_v5,
    "ResNet": lambda: resnet("basic_block", [64, 128]),
    "SwinTransformer": swin,
    "ViT": lambda: models.ViTBackbone(IMAGE, 16, 2, 2, 32, 64),
    "Xception": xception,
}
# Without a classifier of their own, or in another form.
BACKBONES = {
    "CLIP": lambda: vit("CLIPVisionEncoder", 16, 32, 2, 2, 64),
    "DINOV2": dinov2,
    "DINOV2 with registers": lambda: dinov2(num_register_tokens=2, use_swiglu_ffn=True),
    "DINOV3": lambda: vit("DINOV3Backbone", 16, 2, 32, 2, 64),
    "EfficientNetV2": lambda: efficientnet("fused"),
    "ResNetV2": lambda: resnet("bottleneck_block", [64, 128], use_pre_activation=True),
    "SigLIP": lambda: vit("SigLIPVisionEncoder", 16, 32, 2, 2, 64),
    "VGG": lambda: models.VGGBackbone([1, 1, 2], [16, 32, 32], IMAGE),
    "ViTDet": lambda: models.ViTDetBackbone(
        32, 2, 64, 2, [1], image_shape=IMAGE, num_output_channels=32, window_size=2
    ),
}


def photos(count, split="train", size=SIZE):
    """Bundled ones, each pixel a block."""
    source = open_source(f"bundled:{split}").take(range(count))
    small = np.stack([source[place] for place in range(count)])
    factor = -(-size // small.shape[1])
    return small.repeat(factor, 1).repeat(factor, 2)[:, :size, :size]


def classifier(family):
    preprocessor = getattr(models, f"{family}ImageClassifierPreprocessor")(
        getattr(hub.layers, f"{family}ImageConverter")(
            image_size=(SIZE, SIZE),
            scale=[1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)],
            offset=[-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225],
        )
    )
    return getattr(models, f"{family}ImageClassifier")(
        backbone=CLASSIFIERS[family](), num_classes=CLASSES, preprocessor=preprocessor
    )


def settled(model, images):
    """The model once its BatchNorms know the images, and tokens are no longer 0."""
    generator = np.random.default_rng(0)
    for weight in model.weights:
        if "token" in weight.path:
            weight.assign(generator.normal(scale=0.5, size=weight.shape))
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images, training=True)
    return model


def check_int8(model, record, prepare):
    """Its int8 file on photos that did not set the ranges gives what the model gives."""
    size = record.height
    content = convert_model(
        model, record, "int8", "rgb_uint8", calibration=photos(24, size=size)
    ).content
    require_integer_only(read_graph(content))
    file = LiteRTFile(content)
    pixels = photos(16, "test", size)
    expected = keras.tree.flatten(model(prepare(pixels), training=False))
    found = [list(file.run(one[None]).values()) for one in pixels]
    for place, output in enumerate(file.outputs.values()):
        codes = np.concatenate([one[place] for one in found])
        assert snr_db(output.dequantize(codes), numpy_of(expected[place])) > 8.0


@pytest.mark.parametrize("family", CLASSIFIERS)
def test_a_classifier_with_its_image_converter(family, tmp_path):
    keras.utils.set_random_seed(0)
    model = classifier(family)
    converter = model.preprocessor.image_converter
    settled(model, converter(photos(24).astype(np.float32)))
    model.save(tmp_path / "model.keras")
    model = load_any(str(tmp_path / "model.keras"))
    record = model_preprocessing(model, InputOverrides(), [])
    assert record.mean == pytest.approx((0.485, 0.456, 0.406)) and record.height == SIZE
    check_int8(model, record, lambda pixels: converter(pixels.astype(np.float32)))


@pytest.mark.parametrize("name", BACKBONES)
def test_a_head_on_a_backbone(name, tmp_path):
    keras.utils.set_random_seed(0)
    backbone = BACKBONES[name]()
    x = backbone.output
    x = list(x.values())[-1] if isinstance(x, dict) else x
    pool = {4: keras.layers.GlobalAveragePooling2D, 3: keras.layers.GlobalAveragePooling1D}
    x = pool[len(x.shape)]()(x) if len(x.shape) in pool else x
    images = keras.Input(IMAGE)
    body = keras.Model(backbone.inputs, keras.layers.Dense(CLASSES)(x))
    model = keras.Model(images, body(keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)))
    settled(model, photos(24).astype(np.float32))
    model.save(tmp_path / "model.keras")
    model = load_any(str(tmp_path / "model.keras"))
    record = model_preprocessing(model, InputOverrides(), [])
    check_int8(model, record, lambda pixels: pixels.astype(np.float32))


def segformer():
    backbone = models.SegFormerBackbone(mit(), 32)
    return models.SegFormerImageSegmenter(backbone, num_classes=4), SIZE


def depth_anything():
    size = 112
    encoder = models.DINOV2Backbone(
        14,
        4,
        32,
        2,
        64,
        image_shape=(size, size, 3),
        position_embedding_shape=(size, size, 3),
        apply_layernorm=True,
    )
    keys = [f"stage{stage}" for stage in (1, 2, 3, 4)]
    backbone = models.DepthAnythingBackbone(
        encoder, [4, 2, 1, 0.5], [16] * 4, 16, 16, -1, feature_keys=keys
    )
    return models.DepthAnythingDepthEstimator(backbone, depth_estimation_type="relative"), size


@pytest.mark.parametrize("make", [segformer, depth_anything])
def test_dense_tasks(make):
    keras.utils.set_random_seed(0)
    model, size = make()
    # What an image converter would say.
    said = InputOverrides(size=(size, size), mean=(0.5,) * 3, std=(0.5,) * 3)
    record = model_preprocessing(model, said, [])

    def prepare(pixels):
        return pixels.astype(np.float32) / 127.5 - 1.0

    settled(model, prepare(photos(24, size=size)))
    check_int8(model, record, prepare)
