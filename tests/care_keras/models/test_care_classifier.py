import json

import keras
import numpy as np
import pytest

from care_keras.layers import CAREBlock
from care_keras.models import CAREClassifier, Preprocessing
from tests.care_keras.helpers import (
    COMPILE,
    TINY,
    infer,
    numpy_of,
    random_images,
    tiny_backbone,
    tiny_classifier,
)

IMAGES = random_images(4)
LABELS = np.array([0, 2, 1, 1], "int32")
TEACHER = np.array([1, 2, 0, 1], "int32")


def compiled(model, **kwargs):
    model.compile(
        optimizer=keras.optimizers.SGD(0.05),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        **{**COMPILE, **kwargs},
    )
    return model


def crossentropy(logits, labels):
    """Of each sample, in float64."""
    logits = np.asarray(logits, np.float64)
    log_sum = np.log(np.exp(logits).sum(axis=-1))
    return log_sum - logits[np.arange(len(labels)), labels]


def training_logits(model):
    """Both heads' logits in training mode; batch statistics are those of `IMAGES`."""
    outputs = infer(model, IMAGES, training=True)
    return numpy_of(outputs["head"]), numpy_of(outputs["dist_head"])


def test_inference_averages_the_heads():
    model = tiny_classifier()
    features = infer(model.backbone, IMAGES)
    heads = infer(model.classifier, features, training=True)
    expected = (numpy_of(heads["head"]) + numpy_of(heads["dist_head"])) / 2
    np.testing.assert_allclose(numpy_of(infer(model, IMAGES)), expected, atol=1e-5)
    assert model.output_shape == (None, TINY.classes)


def test_plain_labels_teach_both_heads_alike():
    # Not the weight of the teacher: there is none.
    model = compiled(tiny_classifier(distillation_alpha=0.9))
    head, dist_head = training_logits(model)
    expected = crossentropy(head, LABELS).mean() / 2 + crossentropy(dist_head, LABELS).mean() / 2
    assert model.train_on_batch(IMAGES, LABELS) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_distillation_weighs_labels_and_teacher(alpha):
    model = compiled(tiny_classifier(distillation_alpha=alpha))
    head, dist_head = training_logits(model)
    label_loss = crossentropy(head, LABELS).mean()
    teacher_loss = crossentropy(dist_head, TEACHER).mean()
    before = [numpy_of(model.classifier.head.dense.kernel)]
    before.append(numpy_of(model.classifier.dist_head.dense.kernel))
    loss = model.train_on_batch(IMAGES, {"head": LABELS, "dist_head": TEACHER})
    assert loss == pytest.approx((1 - alpha) * label_loss + alpha * teacher_loss, rel=1e-4)
    # A head whose loss has no weight does not learn.
    after = [numpy_of(model.classifier.head.dense.kernel)]
    after.append(numpy_of(model.classifier.dist_head.dense.kernel))
    moved = [bool((old != new).any()) for old, new in zip(before, after, strict=True)]
    assert moved == [alpha < 1.0, alpha > 0.0]


def test_sample_weights():
    model = compiled(tiny_classifier(distillation_alpha=0.25))
    head, dist_head = training_logits(model)
    weights = np.array([0.0, 1.0, 3.0, 0.5], "float32")
    per_sample = 0.75 * crossentropy(head, LABELS) + 0.25 * crossentropy(dist_head, TEACHER)
    loss = model.train_on_batch(
        IMAGES, {"head": LABELS, "dist_head": TEACHER}, sample_weight=weights
    )
    assert loss == pytest.approx((weights * per_sample).mean(), rel=1e-4)


@pytest.mark.parametrize("targets", [LABELS, {"head": LABELS, "dist_head": TEACHER}])
def test_fit_evaluate_and_predict(targets):
    # In a graph, as users run it.
    model = compiled(tiny_classifier(), metrics=["sparse_categorical_accuracy"], run_eagerly=False)
    averaged = np.mean(training_logits(model), axis=0)
    history = model.fit(IMAGES, targets, batch_size=4, epochs=2, verbose=0).history
    assert history["sparse_categorical_accuracy"][0] == pytest.approx(
        (averaged.argmax(-1) == LABELS).mean()
    )
    results = model.evaluate(IMAGES, targets, batch_size=4, verbose=0, return_dict=True)
    logits = model.predict(IMAGES, batch_size=4, verbose=0)
    assert results["loss"] == pytest.approx(crossentropy(logits, LABELS).mean(), rel=1e-3)
    assert results["sparse_categorical_accuracy"] == pytest.approx(
        (logits.argmax(-1) == LABELS).mean()
    )


def test_training_lowers_the_loss():
    model = CAREClassifier(tiny_backbone(), classes=TINY.classes)
    compiled(model)
    losses = model.fit(IMAGES, LABELS, batch_size=4, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]


def test_regularization_is_counted_once():
    model = tiny_classifier()
    kernel = model.classifier.head.dense
    kernel.kernel_regularizer = keras.regularizers.L2(0.1)
    kernel.kernel.regularizer = kernel.kernel_regularizer
    compiled(model)
    head, dist_head = training_logits(model)
    expected = (crossentropy(head, LABELS).mean() + crossentropy(dist_head, LABELS).mean()) / 2
    expected += 0.1 * np.square(numpy_of(kernel.kernel)).sum()
    assert model.train_on_batch(IMAGES, LABELS) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_classifier_activation(activation):
    logits = numpy_of(infer(tiny_classifier(), IMAGES))
    outputs = numpy_of(infer(tiny_classifier(classifier_activation=activation), IMAGES))
    exponentials = np.exp(logits)
    expected = {
        "softmax": exponentials / exponentials.sum(-1, keepdims=True),
        "sigmoid": exponentials / (1 + exponentials),
    }
    np.testing.assert_allclose(outputs, expected[activation], atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_mixed_precision(dtype, tmp_path):
    expected = numpy_of(infer(tiny_classifier(), IMAGES))
    model = tiny_classifier(dtype=f"mixed_{dtype}")
    outputs = infer(model, IMAGES)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
    assert model.backbone.compute_dtype == model.classifier.compute_dtype == dtype
    difference = np.abs(numpy_of(outputs) - expected).max()
    assert difference < (0.02 if dtype == "float16" else 0.1) * np.abs(expected).max()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.dtype_policy.name == loaded.backbone.dtype_policy.name == f"mixed_{dtype}"
    np.testing.assert_array_equal(numpy_of(infer(loaded, IMAGES)), numpy_of(outputs))


def test_saved_and_loaded(tmp_path):
    model = tiny_classifier(
        classifier_activation="softmax",
        dropout=0.2,
        distillation_alpha=0.25,
        preprocessing=TINY.preprocessing,
        labels=("cat", "dog", "frog"),
        name="pets",
    )
    compiled(model, metrics=["sparse_categorical_accuracy"])
    model.train_on_batch(IMAGES, LABELS)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        numpy_of(infer(loaded, IMAGES)), numpy_of(infer(model, IMAGES)), atol=1e-5
    )
    assert loaded.preprocessing == TINY.preprocessing
    assert loaded.labels == ("cat", "dog", "frog")
    assert (loaded.name, loaded.distillation_alpha, loaded.dropout) == ("pets", 0.25, 0.2)
    assert int(loaded.optimizer.iterations) == 1
    # Trained on as if it had never been away, but for the draws of dropout.
    assert loaded.evaluate(IMAGES, LABELS, verbose=0, return_dict=True) == pytest.approx(
        model.evaluate(IMAGES, LABELS, verbose=0, return_dict=True), rel=1e-4
    )


def test_config_is_json_and_complete():
    model = tiny_classifier(labels=("a", "b", "c"), preprocessing=TINY.preprocessing.to_dict())
    restored = CAREClassifier.from_config(json.loads(json.dumps(model.get_config())))
    assert restored.get_config() == model.get_config()
    assert isinstance(restored.preprocessing, Preprocessing)
    assert isinstance(restored.backbone.get_layer("stage1_block1"), CAREBlock)


def test_a_frozen_backbone_stays_frozen_when_saved(tmp_path):
    model = tiny_classifier()
    model.backbone.trainable = False
    frozen = [weight.path for weight in model.trainable_weights]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [weight.path for weight in loaded.trainable_weights] == frozen
    assert len(frozen) == 8


def test_weights_file(tmp_path):
    model = tiny_classifier()
    model.save_weights(tmp_path / "model.weights.h5")
    other = CAREClassifier(tiny_backbone(), classes=TINY.classes)
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(
        numpy_of(infer(other, IMAGES)), numpy_of(infer(model, IMAGES)), atol=1e-6
    )


@pytest.mark.parametrize(
    ("change", "received"),
    [
        ({"labels": ("one", "two")}, "2 labels for classes=3"),
        ({"distillation_alpha": -0.1}, "distillation_alpha=-0.1"),
        ({"distillation_alpha": 1.5}, "distillation_alpha=1.5"),
        ({"classes": 0}, "classes=0"),
    ],
)
def test_errors(change, received):
    with pytest.raises(ValueError, match=rf"Received: {received}$"):
        tiny_classifier(**change)
