"""Semantic segmentation: a feature pyramid on a backbone."""

import keras

from care_keras.layers.initializers import kernel_initializer
from care_keras.models.feature_pyramid import (
    PyramidLayers,
    check_image_size,
    pyramid_levels,
    pyramid_maps,
)
from care_keras.models.on_backbone import OnBackbone, check_head

# Widths of the pyramid and of the branches that lead to the classes.
_HEADS = {"lite": (64, 64), "paper": (256, 128)}


@keras.saving.register_keras_serializable(package="care_keras")
class SemanticFPN(OnBackbone, keras.Model):
    """Scores of classes at the size of the backbone's finest output.

    Of a `CARE_S0` that is a quarter of the image: whoever shows the classes
    enlarges them. Each output of the backbone is normalized, brought to the
    pyramid's width by a 1x1 convolution and added to the enlarged coarser
    ones; from each level a branch of 3x3 convolutions, one and an enlargement
    for each doubling, leads to the finest size, where they are summed.

    `head="paper"` has full convolutions: a pyramid of 256 channels with a 3x3
    convolution after each sum, and branches of 128. `head="lite"` is for
    phones: depthwise-separable convolutions of 64 channels and no convolution
    after the sums, a tenth of CARE-S0's own multiply-accumulates.

    Source: A. Kirillov et al., "Panoptic Feature Pyramid Networks", arXiv
    1901.02446, section 3.1, with BatchNorm in place of GroupNorm, which folds
    into the convolution before it. CARE's own head is not published; a norm
    on each of its outputs is ours, as they have none.

    Args:
        backbone: A `CAREBackbone`, or another functional model whose
            `pyramid_outputs` map levels, `"P2"` for a stride of 4, to
            symbolic outputs, each level half the size of the one before.
        classes: Number of classes.
        head: `"lite"` or `"paper"`.
        dropout: Dropout rate before the classes.
        preprocessing: A `Preprocessing` record, or a dict of its fields: how
            images are prepared. Tools read it from here.
        labels: Names of the classes, in order, or `None`.
        **kwargs: Arguments of `keras.Model`, and the `dtype` policy.

    Input shape: `(batch, height, width, channels)`, both sizes multiples of
    the coarsest stride, 32 for `CARE_S0`. Output: logits `(batch, height / s,
    width / s, classes)`, `s` the finest stride, in float32.

    Raises:
        ValueError: If an argument is out of its range, the backbone has no
            such outputs, or an image's size is no such multiple.
    """

    def __init__(
        self,
        backbone: keras.Model,
        classes: int,
        head: str = "lite",
        dropout: float = 0.1,
        preprocessing=None,
        labels=None,
        dtype=None,
        **kwargs,
    ):
        check_head(head, _HEADS, classes, labels)
        levels = pyramid_levels(backbone)
        stride = 2 ** levels[-1]
        shape = backbone.inputs[0].shape[1:]
        check_image_size(shape[:2], stride)
        dtype = keras.dtype_policies.get(dtype or backbone.dtype_policy)

        inputs = keras.Input(shape, name="images")
        width, branch_width = _HEADS[head]
        build = PyramidLayers(head == "lite", width, dtype)
        pyramid = build.pyramid(pyramid_maps(backbone, levels, inputs))
        x = _branches(build, pyramid, branch_width)
        x = keras.layers.Dropout(dropout, dtype=dtype, name="dropout")(x)
        x = keras.layers.Conv2D(
            classes, 1, kernel_initializer=kernel_initializer(), dtype="float32", name="logits"
        )(x)
        super().__init__(inputs=inputs, outputs=x, **kwargs)

        # Functional models take no `dtype`; without it the config would say float32.
        self.dtype_policy = dtype
        self.backbone = backbone
        self.classes = classes
        self.head = head
        self.dropout = dropout
        self._describe(preprocessing, labels, stride)
        self._stride = stride

    def call(self, inputs, training=None, mask=None) -> keras.KerasTensor:
        check_image_size(inputs.shape[1:3], self._stride)
        return super().call(inputs, training=training, mask=mask)

    @property
    def task(self) -> dict:
        """What the output is, as plain JSON types: apps and tools read it."""
        return {"name": "segmentation"}

    def get_config(self) -> dict:
        return super().get_config() | {"head": self.head, "dropout": self.dropout}


def _branches(build, pyramid, width):
    """The sum of all levels at the finest size."""
    finest = min(pyramid)
    ends = []
    for level, x in pyramid.items():
        for step in range(max(level - finest, 1)):
            name = f"p{level}_branch{step + 1}"
            x = build.conv_norm_relu(x, width, name)
            if level > finest:
                x = build.up(x, f"{name}_up", "bilinear")
        ends.append(x)
    if len(ends) == 1:
        return ends[0]
    return keras.layers.Add(dtype=build.dtype, name="branches_sum")(ends)
