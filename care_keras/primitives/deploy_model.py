"""The model class of the deploy form and of the quantized form."""

import keras

from care_keras.data.record import Preprocessing
from care_keras.primitives.base import Primitive


@keras.saving.register_keras_serializable(package="care_keras")
class DeployModel(keras.Model):
    """A functional model of primitives, and what an app must know to feed it.

    Made by `care_keras.deploy.fuse`; its signature is that of `keras.Model`, so
    that its graph is saved with it.

    Attributes:
        preprocessing: The `Preprocessing` record of the images, of several inputs
            of the first that takes some; or `None`.
        input_preprocessing: Of several inputs: the records of those that take
            images, by the input's name. Raw pixels need it.
        labels: Names of the classes, or `None`.
        classifier_activation: Name of the output's activation, `"linear"` for
            logits, or `None` for a model that is no classifier.
        task: What the outputs are, as `RetinaNet.task` and `SemanticFPN.task` say it, or `None`.
        min_image_size: Smallest height and width in pixels.
        foreign_reasons: Why each of the `foreign_operations` is no primitive, by
            its name.
        precisions: Of a quantized form: names of the layers that do not compute
            in int8, and `"float32"` or `"int16"` for each.
    """

    def __init__(self, inputs, outputs, name=None, **kwargs):
        super().__init__(inputs, outputs, name=name, **kwargs)
        self.preprocessing = None
        self.input_preprocessing = {}
        self.labels = None
        self.classifier_activation = None
        self.task = None
        self.min_image_size = 1
        self.foreign_reasons = {}
        self.precisions = {}

    @property
    def foreign_operations(self) -> list[keras.Operation]:
        """What is no primitive, in the order it runs.

        Only TensorFlow's converter takes it, and nothing quantizes it.
        """
        return [
            operation
            for operation in self.operations
            if not isinstance(operation, keras.layers.InputLayer)
            and not isinstance(operation, Primitive)
        ]

    def describe(self, like) -> "DeployModel":
        """Takes over what `like`, a model of the same images and classes, says of them."""
        self.preprocessing = getattr(like, "preprocessing", None)
        labels = getattr(like, "labels", None)
        self.labels = None if labels is None else tuple(labels)
        activation = getattr(like, "classifier_activation", None)
        self.classifier_activation = getattr(activation, "__name__", activation)
        self.task = getattr(like, "task", None)
        backbone = getattr(like, "backbone", like)
        self.min_image_size = getattr(backbone, "min_image_size", 1)
        return self

    def prepared_by(self, record: Preprocessing | None) -> "DeployModel":
        """The same layers, for images that are prepared as a record says."""
        if record == self.preprocessing:
            return self
        other = DeployModel(self.input, self.output, name=self.name).describe(self)
        other.preprocessing = record
        other.foreign_reasons, other.precisions = self.foreign_reasons, self.precisions
        other.input_preprocessing = self.input_preprocessing
        return other

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "description": {
                "preprocessing": self.preprocessing and self.preprocessing.to_dict(),
                "input_preprocessing": {
                    name: record.to_dict() for name, record in self.input_preprocessing.items()
                },
                "labels": self.labels and list(self.labels),
                "classifier_activation": self.classifier_activation,
                # Files of classifiers stay as they were.
                **({} if self.task is None else {"task": self.task}),
                "min_image_size": self.min_image_size,
                "foreign_reasons": dict(self.foreign_reasons),
                "precisions": dict(self.precisions),
            },
        }

    @classmethod
    def from_config(cls, config, custom_objects=None) -> "DeployModel":
        config = dict(config)
        description = config.pop("description")
        model = super().from_config(config, custom_objects)
        record = description["preprocessing"]
        model.preprocessing = record and Preprocessing(**record)
        labels = description["labels"]
        model.labels = labels and tuple(labels)
        model.classifier_activation = description["classifier_activation"]
        model.min_image_size = description["min_image_size"]
        # Files of before there were any have no such entries.
        model.task = description.get("task")
        model.foreign_reasons = dict(description.get("foreign_reasons", {}))
        model.precisions = dict(description.get("precisions", {}))
        records = description.get("input_preprocessing", {})
        model.input_preprocessing = {name: Preprocessing(**one) for name, one in records.items()}
        return model
