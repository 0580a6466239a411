"""The image classifier: a backbone under two heads."""

import keras

from care_keras.layers import DualClassifierHead, SingleClassifierHead
from care_keras.models.care_backbone import CAREBackbone
from care_keras.models.on_backbone import OnBackbone, check_labels

_HEADS = {1: SingleClassifierHead, 2: DualClassifierHead}


@keras.saving.register_keras_serializable(package="care_keras")
class CAREClassifier(OnBackbone, keras.Model):
    """A CARE backbone with the label head and the distillation head.

    The functional graph is that of inference: images to the activation of the
    two heads' averaged logits. Called with `training=True` the model returns
    `{"head": ..., "dist_head": ...}` instead.

    `compile` takes one loss, and `fit` takes either

    - plain labels: each head learns from them (weights 1/2), so that their
      average is meaningful, or
    - a dict `{"head": labels, "dist_head": teacher_targets}`: the loss is
      `(1 - distillation_alpha) * loss(labels, head) + distillation_alpha *
      loss(teacher_targets, dist_head)`, the paper's hard distillation.

    Metrics are computed on the average of both outputs against the labels.

    With one head, an ablation, both entries of training's dict are its output:
    it learns from the labels and the teacher alike.

    Args:
        backbone: A `CAREBackbone`.
        classes: Number of classes.
        classifier_activation: Activation of the logits, `None` for logits.
        dropout: Dropout rate before the dense layers.
        distillation_alpha: Weight of the distillation head's loss.
        preprocessing: A `Preprocessing` record, or a dict of its fields: how
            images are prepared for these weights. Tools read it from here.
        labels: Names of the classes, in order, or `None`.
        heads: 2, or 1 for the label head alone.
        **kwargs: Arguments of `keras.Model`, and the `dtype` policy.

    Input shape: `(batch, height, width, 3)`. Output: `(batch, classes)`.

    Raises:
        ValueError: If `labels` does not name each class once,
            `distillation_alpha` is outside [0, 1], or `heads` is neither 1
            nor 2.
    """

    def __init__(
        self,
        backbone: CAREBackbone,
        classes: int = 1000,
        classifier_activation=None,
        dropout: float = 0.0,
        distillation_alpha: float = 0.5,
        preprocessing=None,
        labels=None,
        heads: int = 2,
        dtype=None,
        **kwargs,
    ):
        if heads not in _HEADS:
            raise ValueError(f"`heads` must be 1 or 2. Received: heads={heads}")
        check_labels(labels, classes)
        if not 0.0 <= distillation_alpha <= 1.0:
            raise ValueError(
                "`distillation_alpha` must be in [0, 1]. "
                f"Received: distillation_alpha={distillation_alpha}"
            )
        dtype = keras.dtype_policies.get(dtype or backbone.dtype_policy)
        head = _HEADS[heads](
            classes,
            activation=classifier_activation,
            dropout=dropout,
            dtype=dtype,
            name="classifier",
        )
        inputs = keras.Input(backbone.image_shape, name="images")
        super().__init__(inputs=inputs, outputs=head(backbone(inputs)), **kwargs)
        # Functional models take no `dtype`; without it the config would say float32.
        self.dtype_policy = dtype
        self.backbone = backbone
        self.classifier = head
        self.heads = heads
        self.classes = classes
        self.classifier_activation = head.activation
        self.dropout = dropout
        self.distillation_alpha = distillation_alpha
        self._describe(preprocessing, labels)

    def call(self, inputs, training=None, mask=None) -> keras.KerasTensor:
        if training:
            features = self.backbone(inputs, training=True)
            outputs = self.classifier(features, training=True)
            if self.heads == 1:
                return {"head": outputs, "dist_head": outputs}
            return outputs
        return super().call(inputs, training=False)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ) -> keras.KerasTensor:
        if not isinstance(y_pred, dict):
            return super().compute_loss(x, _labels_of(y), y_pred, sample_weight, training)
        if isinstance(y, dict):
            dist_targets, alpha = y["dist_head"], self.distillation_alpha
        else:
            dist_targets, alpha = y, 0.5
        args = (sample_weight, training)
        label_loss = super().compute_loss(x, _labels_of(y), y_pred["head"], *args)
        dist_loss = super().compute_loss(x, dist_targets, y_pred["dist_head"], *args)
        return (1.0 - alpha) * label_loss + alpha * dist_loss

    def compute_metrics(self, x, y, y_pred, sample_weight=None) -> dict:
        if isinstance(y_pred, dict):
            y_pred = (y_pred["head"] + y_pred["dist_head"]) / 2.0
        return super().compute_metrics(x, _labels_of(y), y_pred, sample_weight)

    def get_config(self) -> dict:
        return super().get_config() | {
            "classifier_activation": keras.activations.serialize(self.classifier_activation),
            "dropout": self.dropout,
            "distillation_alpha": self.distillation_alpha,
            "heads": self.heads,
        }


def _labels_of(y):
    return y["head"] if isinstance(y, dict) else y
