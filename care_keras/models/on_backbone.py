"""What models that hold a backbone have in common."""

import keras

from care_keras.data.record import Preprocessing
from care_keras.models.feature_pyramid import check_image_size


class OnBackbone:
    """What they say of images and classes, and how Keras makes them of their config again."""

    def _describe(self, preprocessing: Preprocessing | dict | None, labels, stride: int = 1):
        """Sets `preprocessing`, a record or a dict of its fields, and `labels`.

        Raises ValueError if the record's images are no multiples of the network's stride.
        """
        if isinstance(preprocessing, dict):
            preprocessing = Preprocessing(**preprocessing)
        if preprocessing is not None:
            check_image_size((preprocessing.height, preprocessing.width), stride)
        self.preprocessing = preprocessing
        self.labels = None if labels is None else tuple(labels)

    @classmethod
    def from_config(cls, config, custom_objects=None) -> keras.Model:
        config = dict(config)
        trainable = config.pop("trainable", True)
        config["backbone"] = keras.saving.deserialize_keras_object(
            config["backbone"], custom_objects=custom_objects
        )
        model = cls(**config)
        # True would be passed on to all layers, and thaw a frozen backbone.
        if not trainable:
            model.trainable = False
        return model

    def get_config(self) -> dict:
        return {
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "classes": self.classes,
            "preprocessing": None if self.preprocessing is None else self.preprocessing.to_dict(),
            "labels": None if self.labels is None else list(self.labels),
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
        }


def check_head(head: str, heads, classes: int, labels) -> None:
    """Raises ValueError for a head that there is none of, or classes that cannot be."""
    if head not in heads:
        raise ValueError(f"`head` must be one of {list(heads)}. Received: head={head!r}")
    if classes < 1:
        raise ValueError(f"`classes` must be at least 1. Received: classes={classes}")
    check_labels(labels, classes)


def check_labels(labels, classes: int) -> None:
    """Raises ValueError unless labels, where there are any, name each class."""
    if labels is not None and len(labels) != classes:
        raise ValueError(
            f"`labels` must name each class. Received: {len(labels)} labels for classes={classes}"
        )
