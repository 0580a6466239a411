"""The architecture of each CARE model, one record each."""

import dataclasses

from care_keras.data.record import Preprocessing


@dataclasses.dataclass(frozen=True)
class CAREConfig:
    """The architecture of one CARE model, and its preprocessing.

    Attributes:
        name: Name of the model, `"care_s0"`.
        depths: Blocks per stage.
        channels: Width `d = memory + features = 4g` per stage.
        expansion_ratios: `(Inter1, Inter2)` per stage.
        head_dims: Channels of an attention head per stage; `None` where the
            stage's global branch is the 11x1 + 1x11 depthwise pair.
        stem_stride: Size and stride of the stem's patches in pixels, a power
            of two.
        preprocessing: How its images are prepared.
        classes: Number of classes of its published or bundled weights.
        layer_scale_init: Initial value of the layer scale.
        decoupling: Of a block's features, between the global and the local
            branch: `"asymmetric"`, or as an ablation `"symmetric"` or `"none"`.
        local_kernels: Sizes of the local branch's depthwise convs.
        global_mixing: Whether there is a global branch.
        inter1: Whether there is the first interaction.
        inter2: Whether there is the second.
        memory: Whether there is the memory; without it `channels` are `3g`.
        heads: Classifier heads: 2, or 1 without the distillation head.
    """

    name: str
    depths: tuple[int, ...]
    channels: tuple[int, ...]
    expansion_ratios: tuple[tuple[int, int], ...]
    head_dims: tuple[int | None, ...]
    stem_stride: int
    preprocessing: Preprocessing
    classes: int = 1000
    layer_scale_init: float = 1e-6
    decoupling: str = "asymmetric"
    local_kernels: tuple[int, ...] = (3, 7)
    global_mixing: bool = True
    inter1: bool = True
    inter2: bool = True
    memory: bool = True
    heads: int = 2

    def backbone_kwargs(self) -> dict:
        """The arguments of `CAREBackbone` that this record holds."""
        return {
            "depths": self.depths,
            "channels": self.channels,
            "expansion_ratios": self.expansion_ratios,
            "head_dims": self.head_dims,
            "stem_stride": self.stem_stride,
            "layer_scale_init": self.layer_scale_init,
            "decoupling": self.decoupling,
            "local_kernels": self.local_kernels,
            "global_mixing": self.global_mixing,
            "inter1": self.inter1,
            "inter2": self.inter2,
            "memory": self.memory,
        }


_IMAGENET_224 = Preprocessing(height=224, width=224)

# The published models: arXiv 2411.16170, table 1 and its released code.
CARE_S0 = CAREConfig(
    name="care_s0",
    depths=(2, 4, 8, 4),
    channels=(32, 64, 128, 256),
    expansion_ratios=((2, 2), (2, 4), (4, 4), (4, 4)),
    head_dims=(None, None, 16, 32),
    stem_stride=4,
    preprocessing=_IMAGENET_224,
)
CARE_S1 = CAREConfig(
    name="care_s1",
    depths=(3, 6, 10, 6),
    channels=(32, 64, 128, 256),
    expansion_ratios=((2, 4), (2, 4), (4, 4), (4, 4)),
    head_dims=(None, None, 16, 32),
    stem_stride=4,
    preprocessing=_IMAGENET_224,
)
CARE_S2 = CAREConfig(
    name="care_s2",
    depths=(3, 6, 10, 6),
    channels=(32, 64, 192, 384),
    expansion_ratios=((4, 4), (4, 4), (4, 4), (4, 4)),
    head_dims=(None, None, 16, 32),
    stem_stride=4,
    preprocessing=_IMAGENET_224,
)

# For 32x32 images: the same block on a finer stem, three stages at strides 2,
# 4 and 8, and a layer scale that a short training can move.
CARE_NANO = CAREConfig(
    name="care_nano",
    depths=(2, 4, 2),
    channels=(32, 96, 192),
    expansion_ratios=((2, 2), (2, 2), (2, 2)),
    head_dims=(None, 8, 16),
    stem_stride=2,
    preprocessing=Preprocessing(
        height=32,
        width=32,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        crop_ratio=1.0,
    ),
    classes=10,
    layer_scale_init=0.5,
)

# For segmentation and detection of small images, trained from scratch: CARE-S0's stem and strides
# with half its blocks, three quarters of its channels and narrow interactions.
CARE_XS = CAREConfig(
    name="care_xs",
    depths=(1, 2, 4, 2),
    channels=(24, 48, 96, 192),
    expansion_ratios=((2, 2), (2, 2), (2, 2), (2, 2)),
    head_dims=(None, None, 12, 24),
    stem_stride=4,
    preprocessing=Preprocessing(height=192, width=256),
    layer_scale_init=0.5,
)

BASE_CONFIGS = {
    config.name.removeprefix("care_"): config
    for config in (CARE_S0, CARE_S1, CARE_S2, CARE_NANO, CARE_XS)
}
