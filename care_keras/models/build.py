"""From a config to a model of random weights."""

import keras

from care_keras.models.care_backbone import CAREBackbone
from care_keras.models.care_classifier import CAREClassifier
from care_keras.models.config import CAREConfig


def build_network(
    config: CAREConfig,
    include_top: bool = True,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int | None = None,
    classifier_activation="softmax",
    drop_path_rate: float = 0.0,
    name: str | None = None,
    dtype=None,
    labels: tuple[str, ...] | None = None,
) -> tuple[keras.Model, CAREBackbone]:
    """The model that a config describes, and the backbone in it.

    See `CARE_S0` for the arguments and the errors; `labels` names the classes.
    """
    classes = config.classes if classes is None else classes
    if pooling not in (None, "avg", "max"):
        raise ValueError(f"`pooling` must be None, 'avg' or 'max'. Received: pooling={pooling!r}")
    backbone = CAREBackbone(
        **config.backbone_kwargs(),
        drop_path_rate=drop_path_rate,
        image_shape=input_shape or (None, None, 3),
        dtype=dtype,
        name="backbone" if include_top else (name or config.name),
    )
    if include_top:
        model = CAREClassifier(
            backbone,
            classes=classes,
            classifier_activation=classifier_activation,
            preprocessing=config.preprocessing,
            labels=labels,
            heads=config.heads,
            name=name or config.name,
        )
    elif pooling is None:
        model = backbone
    else:
        pool = {
            "avg": keras.layers.GlobalAveragePooling2D,
            "max": keras.layers.GlobalMaxPooling2D,
        }[pooling]
        pooled = pool(name=f"{pooling}_pool", dtype=backbone.dtype_policy)(backbone.output)
        model = keras.Model(backbone.inputs, pooled, name=backbone.name)
    return model, backbone
