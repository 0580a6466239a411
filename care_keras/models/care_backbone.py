"""The CARE feature extractor, with the outputs of every stage."""

import keras

from care_keras.layers import CAREBlock, FoldableBatchNormalization
from care_keras.layers.initializers import kernel_initializer


@keras.saving.register_keras_serializable(package="care_keras")
class CAREBackbone(keras.Model):
    """A functional model from images to features of a quarter, an eighth, ... size.

    Patch embedding (conv, BatchNorm), then stages of `CAREBlock`s with
    BatchNorm and a 2x2 stride-2 conv between them. `pyramid_outputs` maps
    `"P2"`, `"P3"`, ... (level = log2 of the stride) to the symbolic output of
    each stage, as KerasHub's `FeaturePyramidBackbone` has it:

        keras.Model(backbone.input, backbone.pyramid_outputs)

    Source: CARE Transformer, arXiv 2411.16170, figure 2.

    Args:
        depths: Blocks per stage.
        channels: Width per stage (memory and features together), each a
            multiple of 4.
        expansion_ratios: `(Inter1, Inter2)` per stage.
        head_dims: Channels of an attention head per stage, `None` for a stage
            whose global branch is the 11x1 + 1x11 depthwise pair.
        stem_stride: Size and stride of the patches, a power of two.
        layer_scale_init: Initial value of the layer scale.
        drop_path_rate: Rate of stochastic depth at the last block; it grows
            linearly from 0 at the first.
        dropout: Dropout rate inside the interactions.
        image_shape: `(height, width, 3)`; height and width may be `None`.
        decoupling: How a token mixer shares its features out to the global and
            the local branch: `"asymmetric"`, `"symmetric"` or `"none"`, see
            `AsymmetricDecoupledMixer`.
        local_kernels: Sizes of the local branch's depthwise convs; `()` lets
            its channels pass unchanged.
        global_mixing: Whether there is a global branch; else its channels pass
            unchanged.
        inter1: Whether blocks have the first interaction.
        inter2: Whether blocks have the second. The last block of the network
            keeps it: there it carries nothing on, but expands what heads read.
        memory: Whether a quarter of each width is memory; else all of it are
            features, and each width is a multiple of 3.
        **kwargs: Arguments of `keras.Model` and the `dtype` policy.

    Input shape: `(batch, height, width, 3)`. Output shape: `(batch, height /
    s, width / s, expanded channels)`, `s = stem_stride * 2 ** (stages - 1)`:
    the last block returns its expanded features. Sizes that strides do not
    divide are rounded down.

    Raises:
        ValueError: If the arguments do not describe one network, or the image
            is too small for it.
    """

    def __init__(
        self,
        depths,
        channels,
        expansion_ratios,
        head_dims,
        stem_stride: int = 4,
        layer_scale_init: float = 1e-6,
        drop_path_rate: float = 0.0,
        dropout: float = 0.0,
        image_shape=(None, None, 3),
        decoupling: str = "asymmetric",
        local_kernels=(3, 7),
        global_mixing: bool = True,
        inter1: bool = True,
        inter2: bool = True,
        memory: bool = True,
        dtype=None,
        **kwargs,
    ):
        _check_arguments(
            depths, channels, expansion_ratios, head_dims, stem_stride, image_shape, memory
        )
        dtype = keras.dtype_policies.get(dtype or keras.config.dtype_policy())

        inputs = keras.Input(image_shape, name="images")
        x = _patch_conv(channels[0], stem_stride, dtype, "stem_conv")(inputs)
        x = FoldableBatchNormalization(dtype=dtype, name="stem_norm")(x)
        pyramid_outputs = {}
        block_index = 0
        drop_path_step = drop_path_rate / max(sum(depths) - 1, 1)
        for stage, depth in enumerate(depths):
            if stage > 0:
                x = FoldableBatchNormalization(
                    dtype=dtype, name=f"stage{stage + 1}_downsample_norm"
                )(x)
                x = _patch_conv(channels[stage], 2, dtype, f"stage{stage + 1}_downsample_conv")(x)
            inter1_ratio, inter2_ratio = expansion_ratios[stage]
            global_branch = "strip_conv" if head_dims[stage] is None else "attention"
            for block in range(depth):
                last = block_index == sum(depths) - 1
                x = CAREBlock(
                    global_branch=global_branch if global_mixing else "none",
                    head_dim=head_dims[stage] or 16,
                    inter1_expansion_ratio=inter1_ratio if inter1 else None,
                    inter2_expansion_ratio=inter2_ratio if inter2 or last else None,
                    last=last,
                    dropout=dropout,
                    drop_path_rate=drop_path_step * block_index,
                    layer_scale_init=layer_scale_init,
                    decoupling=decoupling,
                    local_kernels=local_kernels,
                    memory=memory,
                    dtype=dtype,
                    name=f"stage{stage + 1}_block{block + 1}",
                )(x)
                block_index += 1
            level = stem_stride.bit_length() - 1 + stage
            pyramid_outputs[f"P{level}"] = x
        super().__init__(inputs=inputs, outputs=x, **kwargs)

        # Functional models take no `dtype`; without it the config would say float32.
        self.dtype_policy = dtype
        self._pyramid_outputs = pyramid_outputs
        self.depths = tuple(depths)
        self.channels = tuple(channels)
        self.expansion_ratios = tuple(tuple(pair) for pair in expansion_ratios)
        self.head_dims = tuple(head_dims)
        self.stem_stride = stem_stride
        self.layer_scale_init = layer_scale_init
        self.drop_path_rate = drop_path_rate
        self.dropout = dropout
        self.image_shape = tuple(image_shape)
        self.decoupling = decoupling
        self.local_kernels = tuple(local_kernels)
        self.global_mixing = global_mixing
        self.inter1 = inter1
        self.inter2 = inter2
        self.memory = memory

    @property
    def pyramid_outputs(self) -> dict[str, keras.KerasTensor]:
        """Level (`"P2"`, ...) to the symbolic output of its stage."""
        # A dict that is an attribute is wrapped by Keras, and JAX cannot return the wrapper.
        return dict(self._pyramid_outputs)

    @property
    def min_image_size(self) -> int:
        """Smallest height and width, in pixels, that leaves a feature after every stage."""
        return _min_image_size(self.depths, self.stem_stride)

    @classmethod
    def from_config(cls, config, custom_objects=None) -> "CAREBackbone":
        config = dict(config)
        trainable = config.pop("trainable", True)
        backbone = cls(**config)
        # As an argument it would not reach the layers: Keras sets it before it tracks them.
        backbone.trainable = trainable
        return backbone

    def get_config(self) -> dict:
        return {
            "depths": list(self.depths),
            "channels": list(self.channels),
            "expansion_ratios": [list(pair) for pair in self.expansion_ratios],
            "head_dims": list(self.head_dims),
            "stem_stride": self.stem_stride,
            "layer_scale_init": self.layer_scale_init,
            "drop_path_rate": self.drop_path_rate,
            "dropout": self.dropout,
            "image_shape": list(self.image_shape),
            "decoupling": self.decoupling,
            "local_kernels": list(self.local_kernels),
            "global_mixing": self.global_mixing,
            "inter1": self.inter1,
            "inter2": self.inter2,
            "memory": self.memory,
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
        }


def _patch_conv(filters, stride, dtype, name):
    return keras.layers.Conv2D(
        filters,
        stride,
        strides=stride,
        kernel_initializer=kernel_initializer(),
        dtype=dtype,
        name=name,
    )


def _check_arguments(
    depths, channels, expansion_ratios, head_dims, stem_stride, image_shape, memory
):
    stages = {len(depths), len(channels), len(expansion_ratios), len(head_dims)}
    if len(stages) != 1 or 0 in stages:
        raise ValueError(
            "`depths`, `channels`, `expansion_ratios` and `head_dims` need one entry per "
            f"stage. Received: depths={depths}, channels={channels}, "
            f"expansion_ratios={expansion_ratios}, head_dims={head_dims}"
        )
    parts = 4 if memory else 3
    if min(depths) < 1 or any(width < 1 or width % parts for width in channels):
        raise ValueError(
            f"Each stage needs at least one block and a width that is a multiple of {parts} "
            f"({'memory and ' if memory else ''}three equal parts of features). "
            f"Received: depths={depths}, channels={channels}"
        )
    if stem_stride < 1 or stem_stride & (stem_stride - 1):
        raise ValueError(
            f"`stem_stride` must be a power of two. Received: stem_stride={stem_stride}"
        )
    if len(image_shape) != 3 or image_shape[-1] != 3:
        raise ValueError(
            "`image_shape` must be (height, width, 3), RGB and channels last. "
            f"Received: image_shape={image_shape}"
        )
    smallest = _min_image_size(depths, stem_stride)
    if any(size is not None and size < smallest for size in image_shape[:2]):
        raise ValueError(
            f"Images must be at least {smallest}x{smallest} pixels for this network. "
            f"Received: image_shape={image_shape}"
        )


def _min_image_size(depths, stem_stride):
    return stem_stride * 2 ** (len(depths) - 1)
