"""Classifiers on the mean of the features: one for labels, one for distillation."""

import keras
from keras import ops

from care_keras.layers.initializers import kernel_initializer


@keras.saving.register_keras_serializable(package="care_keras")
class ClassifierHead(keras.layers.Layer):
    """LayerNorm, dropout and a dense layer to logits.

    Args:
        classes: Number of classes.
        dropout: Dropout rate before the dense layer.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape: `(batch, channels)`. Output: float32 logits of shape `(batch,
    classes)` whatever the dtype policy computes in, as a loss is taken of them.
    """

    def __init__(self, classes: int, dropout: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        if classes < 1:
            raise ValueError(f"`classes` must be positive. Received: classes={classes}")
        self.classes = classes
        self.dropout = dropout

    def build(self, input_shape) -> None:
        self.norm = keras.layers.LayerNormalization(
            epsilon=1e-6, dtype=self.dtype_policy, name="norm"
        )
        self.dropout_layer = keras.layers.Dropout(
            self.dropout, dtype=self.dtype_policy, name="dropout"
        )
        self.dense = keras.layers.Dense(
            self.classes,
            kernel_initializer=kernel_initializer(),
            dtype="float32",
            name="dense",
        )
        for layer in (self.norm, self.dense):
            layer.build(input_shape)

    def call(self, inputs, training=None) -> keras.KerasTensor:
        return self.dense(self.dropout_layer(self.norm(inputs), training=training))

    def compute_output_spec(self, inputs, training=None) -> keras.KerasTensor:
        return keras.KerasTensor((*inputs.shape[:-1], self.classes), dtype="float32")

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "classes": self.classes,
            "dropout": self.dropout,
        }


class _PooledClassifier(keras.layers.Layer):
    """Global mean and GELU, then the `ClassifierHead`s that a subclass names.

    The means over a map are what the heads share; which heads there are, and
    what becomes of their logits, is the subclass's.
    """

    head_names: tuple[str, ...]

    def __init__(self, classes: int = 1000, activation=None, dropout: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.classes = classes
        self.activation = keras.activations.get(activation)
        self.dropout = dropout
        for name in self.head_names:
            head = ClassifierHead(classes, dropout, dtype=self.dtype_policy, name=name)
            setattr(self, name, head)

    def heads(self) -> list[ClassifierHead]:
        """The heads whose logits are averaged at inference."""
        return [getattr(self, name) for name in self.head_names]

    def build(self, input_shape):
        for head in self.heads():
            head.build((input_shape[0], input_shape[-1]))

    def _logits(self, inputs, training):
        x = ops.gelu(ops.mean(inputs, axis=(1, 2)), approximate=False)
        return [head(x, training=training) for head in self.heads()]

    def _output_spec(self, inputs):
        return keras.KerasTensor((inputs.shape[0], self.classes), dtype="float32")

    def get_config(self):
        return {
            **super().get_config(),
            "classes": self.classes,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
        }


@keras.saving.register_keras_serializable(package="care_keras")
class DualClassifierHead(_PooledClassifier):
    """Global mean and GELU, then two `ClassifierHead`s side by side.

    In training both heads' outputs are returned, so that `dist_head` can learn
    from a teacher; at inference the activation of their averaged logits.
    Source: the published implementation of CARE (arXiv 2411.16170); two heads
    with averaged logits as in DeiT, arXiv 2012.12877.

    Args:
        classes: Number of classes.
        activation: Applied to logits; `None` returns them as they are.
        dropout: Dropout rate before each dense layer.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape: `(batch, height, width, channels)`. Output: float32, `(batch,
    classes)`; in training a dict `{"head": ..., "dist_head": ...}` of such.

    Raises:
        ValueError: If `classes` is not positive.
    """

    head_names = ("head", "dist_head")

    def call(self, inputs, training=None) -> keras.KerasTensor:
        head, dist_head = self._logits(inputs, training)
        if training:
            return {"head": self.activation(head), "dist_head": self.activation(dist_head)}
        return self.activation((head + dist_head) / 2.0)

    def compute_output_spec(self, inputs, training=None) -> keras.KerasTensor:
        if training:
            return {name: self._output_spec(inputs) for name in self.head_names}
        return self._output_spec(inputs)


@keras.saving.register_keras_serializable(package="care_keras")
class SingleClassifierHead(_PooledClassifier):
    """Global mean and GELU, then one `ClassifierHead`: an ablation of the two.

    Args:
        classes: Number of classes.
        activation: Applied to logits; `None` returns them as they are.
        dropout: Dropout rate before the dense layer.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape: `(batch, height, width, channels)`. Output: float32, `(batch,
    classes)`, in training as at inference.

    Raises:
        ValueError: If `classes` is not positive.
    """

    head_names = ("head",)

    def call(self, inputs, training=None) -> keras.KerasTensor:
        (head,) = self._logits(inputs, training)
        return self.activation(head)

    def compute_output_spec(self, inputs, training=None) -> keras.KerasTensor:
        return self._output_spec(inputs)
