"""Detection on a backbone's pyramid: outputs, costs, saving, learning, errors."""

import json

import keras
import numpy as np
import pytest

from care_keras.detection.loss import DetectionLoss
from care_keras.detection.postprocessing import detections, iou
from care_keras.models import CARE_S0, CAREBackbone, Preprocessing, RetinaNet
from care_keras.models.complexity import complexity
from care_keras.models.head_complexity import head_macs
from tests.care_keras.helpers import infer, numpy_of
from tests.care_keras.models.test_semantic_fpn import images, small_backbone, two_stages

HEADS = ("lite", "paper")


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("levels", [None, (3, 4), (4, 5, 6)])
def test_a_row_for_each_anchor(head, levels):
    model = RetinaNet(small_backbone(), 5, head=head, levels=levels)
    for height, width in ((32, 48), (64, 64)):
        location, score = model(images(2, height, width))
        count = len(model.anchors.boxes((height, width)))
        assert tuple(location.shape) == (2, count, 4) and tuple(score.shape) == (2, count, 5)
    assert model.anchors.levels == (levels or (2, 3, 4))


def test_rows_are_in_the_order_of_the_anchors():
    """What changes a corner of the image changes the anchors there."""
    model = RetinaNet(small_backbone((64, 96, 3)), 1, levels=(2,))
    before = images(1, 64, 96)
    after = before.copy()
    after[:, :8, -8:] += 3.0
    scores = [keras.ops.convert_to_numpy(model(x)[1])[0, :, 0] for x in (before, after)]
    boxes = model.anchors.boxes((64, 96))
    changed = boxes[np.argmax(np.abs(scores[1] - scores[0]))]
    assert changed[0] < 24 and changed[1] > 72


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("levels", [None, (3, 4), (3, 4, 5)])
def test_levels_are_in_the_order_of_the_anchors(head, levels):
    model = RetinaNet(small_backbone(), 2, head=head, levels=levels)
    names = [f"p{level}_box_rows" for level in model.anchors.levels]
    of_levels = keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    x = images(2, 64, 96)
    location = keras.ops.convert_to_numpy(model(x)[0])
    ends = np.cumsum(model.anchors.counts((64, 96)))
    parts = np.split(location, ends[:-1], axis=1)
    for part, expected in zip(parts, of_levels(x), strict=True):
        np.testing.assert_array_equal(part, keras.ops.convert_to_numpy(expected))


def test_several_anchors_a_pixel():
    model = RetinaNet(small_backbone(), 2, anchor_scales=(4.0, 6.0), anchor_ratios=(0.5, 1.0, 2.0))
    location, _ = model(images(1))
    assert location.shape[1] == len(model.anchors.boxes((32, 48)))
    assert model.anchors.per_pixel == 6


def test_scores_begin_low():
    score = keras.ops.convert_to_numpy(RetinaNet(small_backbone(), 3)(images())[1])
    assert 0.002 < np.median(score) < 0.05


def test_what_heads_cost():
    backbone = CARE_S0(include_top=False, input_shape=(512, 512, 3))
    own = complexity(backbone, (512, 512)).macs
    assert head_macs(RetinaNet(backbone, 80)) <= 0.12 * own
    assert head_macs(RetinaNet(backbone, 80, head="paper")) > 5 * own


def test_levels_share_convolutions_and_not_norms():
    model = RetinaNet(small_backbone(), 3)
    names = [layer.name for layer in model.layers]
    assert sum(name.startswith("box1_conv") for name in names) == 1
    assert sum(name.endswith("box1_norm") for name in names) == 3


def test_saved_and_loaded(tmp_path):
    record = Preprocessing(height=32, width=48, fit="stretch")
    model = RetinaNet(
        small_backbone(), 3, levels=(3, 4, 5), preprocessing=record, labels=("a", "b", "c")
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, RetinaNet) and isinstance(loaded.backbone, CAREBackbone)
    assert loaded.preprocessing == record and loaded.labels == ("a", "b", "c")
    assert loaded.anchors == model.anchors and loaded.task == model.task
    for found, expected in zip(infer(loaded, images()), infer(model, images()), strict=True):
        np.testing.assert_array_equal(numpy_of(found), numpy_of(expected))


def test_config_is_json_and_complete():
    model = RetinaNet(small_backbone(), 4, head="paper", anchor_scales=(3.0,), name="net")
    config = json.loads(json.dumps(model.get_config()))
    assert RetinaNet.from_config(config).get_config() == config


def test_mixed_precision_keeps_outputs_whole():
    model = RetinaNet(small_backbone(dtype="mixed_float16"), 4)
    types = {keras.backend.standardize_dtype(x.dtype) for x in model(images())}
    assert types == {"float32"}


@pytest.mark.every_backend
def test_an_object_can_be_learned():
    """Two images with one object each: the loss of both parts falls, and the best box is it."""
    keras.utils.set_random_seed(0)
    model = RetinaNet(two_stages((32, 48, 3)), 2, levels=(2, 3))
    x = images(2)
    boxes = np.float32([[4, 4, 20, 20], [10, 20, 30, 44]])
    for image, (top, left, bottom, right) in zip(x, boxes.astype(int), strict=True):
        image[top:bottom, left:right] += 4.0
    y = np.concatenate([boxes / [32, 48, 32, 48], [[0], [1]]], 1)[:, None].astype(np.float32)
    trained = keras.Model(model.inputs, keras.layers.Concatenate(-1)(model.outputs))
    loss = DetectionLoss(model.anchors, (32, 48))
    parts = [keras.metrics.MeanMetricWrapper(getattr(loss, x)) for x in ("class_loss", "box_loss")]
    trained.compile(keras.optimizers.Adam(3e-3), loss, weighted_metrics=parts, jit_compile=False)
    history = trained.fit(x, y, epochs=40, verbose=0).history
    names = [part.name for part in parts]
    assert all(history[name][-1] < 0.5 * history[name][0] for name in names)
    assert history["loss"][-1] == pytest.approx(
        history[names[0]][-1] + 2 * history[names[1]][-1], rel=1e-3
    )
    # By the batch's own statistics: after so few steps their averages are not settled.
    outputs = [keras.ops.convert_to_numpy(one) for one in model(x, training=True)]
    for image, (box, label) in enumerate(zip(boxes, (0, 1), strict=True)):
        anchors = model.anchors.boxes((32, 48))
        found = detections(*(one[image] for one in outputs), anchors, (32, 48))
        assert found[2][0] == label and iou(box, found[0][:1])[0] > 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: RetinaNet(b, 4, head="heavy"), "Received: head='heavy'"),
        (lambda b: RetinaNet(b, 0), "Received: classes=0"),
        (lambda b: RetinaNet(b, 2, labels=["a"]), "1 labels for classes=2"),
        (lambda b: RetinaNet(b, 2, levels=(5, 6)), r"begin with one of the backbone's, \[2, 3, 4"),
        (lambda b: RetinaNet(b, 2, levels=(2, 4)), r"Received: levels=\(2, 4\)"),
        (lambda b: RetinaNet(small_backbone((40, 32, 3)), 2), "multiples of 16 .*: 40x32"),
        (lambda b: RetinaNet(b, 2, preprocessing=Preprocessing(30, 32)), "multiples of 16 .*30x32"),
        (lambda b: RetinaNet(b, 2)(images(1, 32, 40)), "multiples of 16 .*Received: 32x40"),
    ],
)
def test_errors(change, message):
    with pytest.raises(ValueError, match=message):
        change(small_backbone())
