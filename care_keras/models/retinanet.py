"""Object detection: a one-stage detector on a backbone's feature pyramid."""

import math

import keras

from care_keras.detection.anchors import Anchors
from care_keras.layers.initializers import kernel_initializer
from care_keras.models.feature_pyramid import (
    PyramidLayers,
    check_image_size,
    pyramid_levels,
    pyramid_maps,
)
from care_keras.models.on_backbone import OnBackbone, check_head

# Channels of the pyramid and of the heads, and convolutions of each head before its last.
_HEADS = {"lite": (64, 3), "paper": (256, 4)}
# Of a backbone's levels the coarsest, by default; an object at a stride of 4 is a dot.
_LEVELS = 3
# Scores before training: almost all anchors are background (arXiv 1708.02002, section 3.3).
_PRIOR = 0.01


@keras.saving.register_keras_serializable(package="care_keras")
class RetinaNet(OnBackbone, keras.Model):
    """Boxes and scores of classes at every pixel of a feature pyramid.

    Each level of the pyramid is read by two heads, one for the scores and one
    for the boxes, whose convolutions all levels share; norms are each level's
    own, as the levels' statistics differ.

    `head="paper"` is that of RetinaNet: a pyramid of 256 channels with a 3x3
    convolution after each sum, and heads of four full convolutions.
    `head="lite"` is for phones: depthwise-separable convolutions of 64
    channels, three in a head. Both have one anchor a pixel where RetinaNet has
    nine; it is trained by `care_keras.detection.loss`, which chooses samples as
    ATSS does, and with those one is as good.

    The outputs are what MediaPipe's ObjectDetector takes, which decodes boxes
    by anchors: offsets of FCOS would be another format. Nothing is suppressed
    in the network: see `care_keras.detection.boxes.detections`.

    Source: T.-Y. Lin et al., "Focal Loss for Dense Object Detection", arXiv
    1708.02002; S. Zhang et al., "Bridging the Gap Between Anchor-based and
    Anchor-free Detection via Adaptive Training Sample Selection", arXiv
    1912.02424; separable heads with norms of their own for each level: M. Tan et
    al., "EfficientDet", arXiv 1911.09070.

    Args:
        backbone: A `CAREBackbone`, or another functional model whose
            `pyramid_outputs` map levels, `"P3"` for a stride of 8, to
            symbolic outputs, each level half the size of the one before.
        classes: Number of classes.
        head: `"lite"` or `"paper"`.
        levels: Levels of the pyramid, the finest first; those that the backbone
            does not have are made of its coarsest by strided convolutions.
            `None`: the backbone's three coarsest.
        anchor_scales: Sides of a square anchor, in strides of its level.
        anchor_ratios: Height over width of the anchors.
        preprocessing: A `Preprocessing` record, or a dict of its fields: how
            images are prepared. Tools read it from here.
        labels: Names of the classes, in order, or `None`.
        **kwargs: Arguments of `keras.Model`, and the `dtype` policy.

    Input shape: `(batch, height, width, channels)`, both sizes multiples of the
    backbone's coarsest stride, 32 for `CARE_S0`. Outputs, both float32:
    `location`, `(batch, anchors, 4)`: offsets y, x of a box's centre from its
    anchor's, in tenths of the anchor's size, and five times the logarithms of
    height and width over the anchor's; and `score`, `(batch, anchors,
    classes)`, from 0 to 1.

    Attributes:
        anchors: The record `Anchors`.

    Raises:
        ValueError: If an argument is out of its range, the backbone has no
            such outputs, or an image's size is no such multiple.
    """

    def __init__(
        self,
        backbone: keras.Model,
        classes: int,
        head: str = "lite",
        levels: tuple[int, ...] | None = None,
        anchor_scales: tuple[float, ...] = (4.0,),
        anchor_ratios: tuple[float, ...] = (1.0,),
        preprocessing=None,
        labels=None,
        dtype=None,
        **kwargs,
    ):
        check_head(head, _HEADS, classes, labels)
        existing = pyramid_levels(backbone)
        anchors = Anchors(levels or existing[-_LEVELS:], anchor_scales, anchor_ratios)
        own = [level for level in anchors.levels if level in existing]
        if anchors.levels[0] not in existing:
            raise ValueError(
                f"`levels` must begin with one of the backbone's, {existing}. "
                f"Received: levels={anchors.levels}"
            )
        stride = 2 ** existing[-1]
        shape = backbone.inputs[0].shape[1:]
        check_image_size(shape[:2], stride)
        dtype = keras.dtype_policies.get(dtype or backbone.dtype_policy)

        inputs = keras.Input(shape, name="images")
        width, depth = _HEADS[head]
        build = PyramidLayers(head == "lite", width, dtype)
        pyramid = build.pyramid(pyramid_maps(backbone, own, inputs))
        for level in anchors.levels[len(own) :]:
            pyramid[level] = build.conv(pyramid[level - 1], width, 3, f"p{level}_down", strides=2)
        per_pixel = anchors.per_pixel
        location = _Head(build, "box", depth, per_pixel, 4)(pyramid)
        logits = _Head(build, "class", depth, per_pixel, classes, _PRIOR)(pyramid)
        score = keras.layers.Activation("sigmoid", dtype="float32", name="score")(logits)
        super().__init__(inputs=inputs, outputs=[location, score], **kwargs)

        # Functional models take no `dtype`; without it the config would say float32.
        self.dtype_policy = dtype
        self.backbone = backbone
        self.classes = classes
        self.head = head
        self.anchors = anchors
        self._describe(preprocessing, labels, stride)
        self._stride = stride

    def call(self, inputs, training=None, mask=None) -> list[keras.KerasTensor]:
        check_image_size(inputs.shape[1:3], self._stride)
        return super().call(inputs, training=training, mask=mask)

    @property
    def task(self) -> dict:
        """What the outputs are, as plain JSON types: apps and tools read it."""
        return {"name": "detection", "anchors": self.anchors.to_dict()}

    def get_config(self) -> dict:
        return super().get_config() | {
            "head": self.head,
            "levels": list(self.anchors.levels),
            "anchor_scales": list(self.anchors.scales),
            "anchor_ratios": list(self.anchors.aspect_ratios),
        }


class _Head:
    """Reads all levels with the same convolutions, to a row of `values` for each anchor."""

    def __init__(self, build, name, depth, per_pixel, values, prior=None):
        self._build, self._name, self._values = build, name, values
        self._hidden = [
            self._convolution(f"{name}{step + 1}", build.width, build.dtype, use_bias=False)
            for step in range(depth)
        ]
        bias = 0.0 if prior is None else math.log(prior / (1.0 - prior))
        self._last = self._convolution(
            f"{name}_out",
            per_pixel * values,
            # Scores and places are computed in full precision.
            "float32",
            bias_initializer=keras.initializers.Constant(bias),
            kernel_initializer=kernel_initializer(),
        )

    def _convolution(self, name, filters, dtype, **options):
        """Layers that together are one 3x3 convolution."""
        options = {"kernel_initializer": keras.initializers.HeNormal(), **options}
        size = 1 if self._build.lite else 3
        conv = keras.layers.Conv2D(
            filters, size, padding="same", dtype=dtype, name=f"{name}_conv", **options
        )
        return [self._build.depthwise(f"{name}_depthwise"), conv] if self._build.lite else [conv]

    def __call__(self, pyramid):
        rows = []
        for level, x in pyramid.items():
            for step, convolution in enumerate(self._hidden):
                for layer in convolution:
                    x = layer(x)
                name = f"p{level}_{self._name}{step + 1}"
                x = self._build.norm(x, f"{name}_norm")
                x = keras.layers.ReLU(dtype=self._build.dtype, name=f"{name}_relu")(x)
            for layer in self._last:
                x = layer(x)
            name = f"p{level}_{self._name}_rows"
            rows.append(keras.layers.Reshape((-1, self._values), dtype="float32", name=name)(x))
        # Named as the outputs of apps' detectors are.
        name = "location" if self._name == "box" else f"{self._name}_logits"
        return keras.layers.Concatenate(1, dtype="float32", name=name)(rows)
