"""A feature pyramid: the outputs of a backbone at one width, each with all coarser ones in it."""

import dataclasses
import math

import keras

from care_keras.layers import FoldableBatchNormalization

# He's, of the 9 values that each output is made of: Keras counts those of all channels. Where no
# norm follows, as before the heads' outputs, they would learn several times slower.
_DEPTHWISE_STDDEV = math.sqrt(2.0 / 9.0)


def pyramid_levels(backbone: keras.Model) -> list[int]:
    """The levels of a backbone's outputs, the finest first; level 2 has a stride of 4.

    Raises:
        ValueError: If there are none, or not of levels that follow one another.
    """
    names = list(getattr(backbone, "pyramid_outputs", None) or ())
    levels = sorted(int(name[1:]) for name in names if name[:1] == "P" and name[1:].isdecimal())
    follow = levels == list(range(levels[0], levels[0] + len(levels))) if levels else False
    if not follow or len(levels) != len(names):
        raise ValueError(
            "`backbone` must have `pyramid_outputs` of levels that follow one another, as "
            f"P2, P3, P4. Received: {names or type(backbone).__name__}"
        )
    return levels


def pyramid_maps(backbone: keras.Model, levels: list[int], images: keras.KerasTensor) -> dict:
    """The backbone's outputs for images, by level."""
    outputs = [backbone.pyramid_outputs[f"P{level}"] for level in levels]
    maps = keras.Model(backbone.inputs, outputs, name="features")(images)
    return dict(zip(levels, keras.tree.flatten(maps), strict=True))


def check_image_size(size, stride: int) -> None:
    """Raises ValueError unless height and width, where known, are multiples of the stride."""
    if any(one is not None and one % stride for one in size):
        raise ValueError(
            f"Images must be multiples of {stride} pixels high and wide for this network. "
            f"Received: {size[0]}x{size[1]}"
        )


@dataclasses.dataclass(frozen=True)
class PyramidLayers:
    """Makes the layers of a pyramid and of the heads on it.

    Attributes:
        lite: Whether convolutions are depthwise-separable, for phones.
        width: Channels of the pyramid.
        dtype: Dtype policy.
    """

    lite: bool
    width: int
    dtype: keras.DTypePolicy

    def pyramid(self, maps: dict) -> dict:
        """The backbone's outputs at one width by level, the finest first, as anchors are.

        Each has all coarser ones added.

        A norm on each output is ours, as CARE's have none; it folds.
        """
        # As published; XNNPACK enlarges int8 by bilinear interpolation only.
        interpolation = "bilinear" if self.lite else "nearest"
        merged, coarser = {}, None
        for level in sorted(maps, reverse=True):
            x = self.norm(maps[level], f"p{level}_norm")
            x = self.conv(x, self.width, 1, f"p{level}_lateral")
            if coarser is not None:
                up = self.up(coarser, f"p{level}_from_above", interpolation)
                x = keras.layers.Add(dtype=self.dtype, name=f"p{level}_sum")([x, up])
            merged[level] = coarser = x
        merged = dict(sorted(merged.items()))
        if self.lite:
            return merged
        return {
            level: self.conv(x, self.width, 3, f"p{level}_smooth") for level, x in merged.items()
        }

    def conv_norm_relu(self, x, filters: int, name: str) -> keras.KerasTensor:
        """A 3x3 convolution, its norm and ReLU."""
        if self.lite:
            x = self.depthwise(f"{name}_depthwise")(x)
            x = self.norm(x, f"{name}_depthwise_norm")
        x = self.conv(x, filters, 1 if self.lite else 3, f"{name}_conv", bias=False)
        x = self.norm(x, f"{name}_norm")
        return keras.layers.ReLU(dtype=self.dtype, name=f"{name}_relu")(x)

    def depthwise(self, name: str) -> keras.layers.Layer:
        return keras.layers.DepthwiseConv2D(
            3,
            padding="same",
            use_bias=False,
            depthwise_initializer=keras.initializers.RandomNormal(stddev=_DEPTHWISE_STDDEV),
            dtype=self.dtype,
            name=name,
        )

    def conv(
        self, x, filters: int, size: int, name: str, bias=True, strides=1
    ) -> keras.KerasTensor:
        return keras.layers.Conv2D(
            filters,
            size,
            strides=strides,
            padding="same",
            use_bias=bias,
            kernel_initializer=keras.initializers.HeNormal(),
            dtype=self.dtype,
            name=name,
        )(x)

    def norm(self, x, name: str) -> keras.KerasTensor:
        return FoldableBatchNormalization(dtype=self.dtype, name=name)(x)

    def up(self, x, name: str, interpolation: str) -> keras.KerasTensor:
        return keras.layers.UpSampling2D(
            2, interpolation=interpolation, dtype=self.dtype, name=name
        )(x)
