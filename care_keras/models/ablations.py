"""The ablations of the paper, and every model by the name that `--model` takes."""

import dataclasses
from collections.abc import Mapping
from fractions import Fraction

from care_keras.models.config import BASE_CONFIGS, CAREConfig


@dataclasses.dataclass(frozen=True)
class Ablation:
    """What one ablation changes in a `CAREConfig`, and nothing else.

    Attributes:
        summary: In a few words, for tables.
        switches: Fields of the config with their values.
        head_dim_factor: By how much an attention head gets wider, where the
            global branch gets more channels: the number of heads stays.
        width_factor: By how much the stages get wider or narrower.
    """

    summary: str
    switches: Mapping = dataclasses.field(default_factory=dict)
    head_dim_factor: Fraction = Fraction(1)
    width_factor: Fraction = Fraction(1)

    def apply(self, config: CAREConfig, name: str) -> CAREConfig:
        """The config of the ablation `name` of a base model."""
        head_dims = tuple(
            None if size is None else _times(size, self.head_dim_factor)
            for size in config.head_dims
        )
        return dataclasses.replace(
            config,
            name=f"{config.name}_{name}",
            head_dims=head_dims,
            channels=tuple(_times(width, self.width_factor) for width in config.channels),
            **self.switches,
        )


def _times(size, factor):
    product = size * factor
    if product.denominator != 1:
        raise ValueError(f"Not a whole number of channels. Received: {size} * {factor}")
    return int(product)


# Source: the ablation study of arXiv 2411.16170. Where the paper leaves a detail open, as little
# as possible is changed:
#
# - sym: the local half is shared equally by the 3x3 and the 7x7.
# - stacked: the local branch of the base, widened from 2/3 of the features to all of them, then the
#   global branch, widened from 1/3 to all; both in one path, as MLLA (arXiv 2405.16605) has them.
# - no_local, no_global: the channels of that branch reach Inter1 as they came.
# - no_inter1: the mixed features reach Inter2 as they are.
# - no_inter2: the block's update is [memory | Inter1's output], so that no block writes the memory;
#   the downsampling convs between stages still do. The last block, whose Inter2 carries nothing on,
#   keeps it as the expansion that the heads read: else their input would shrink to a quarter.
# - no_memory: blocks are 3g wide, so Inter2 and the heads' input lose a quarter with it.
ABLATIONS = {
    "sym": Ablation(
        "half of the features to each branch",
        {"decoupling": "symmetric"},
        head_dim_factor=Fraction(3, 2),
    ),
    "stacked": Ablation(
        "local bias, then attention, on all features",
        {"decoupling": "none"},
        head_dim_factor=Fraction(3),
    ),
    "no_local": Ablation("no local branch", {"local_kernels": ()}),
    "no_global": Ablation("no global branch", {"global_mixing": False}),
    "no_inter1": Ablation("no Inter1", {"inter1": False}),
    "no_inter2": Ablation("no Inter2", {"inter2": False}),
    "no_memory": Ablation("no memory", {"memory": False}, width_factor=Fraction(3, 4)),
    "one_head": Ablation("no distillation head", {"heads": 1}),
    "local_3_3": Ablation("local kernels 3x3 and 3x3", {"local_kernels": (3, 3)}),
    "local_3_5": Ablation("local kernels 3x3 and 5x5", {"local_kernels": (3, 5)}),
}

# The base models come first.
CONFIGS = BASE_CONFIGS | {
    f"{base}_{name}": ablation.apply(config, name)
    for base, config in BASE_CONFIGS.items()
    for name, ablation in ABLATIONS.items()
}


def names_of_models() -> str:
    """What `--model` can be, for messages: the base models, and how ablations are called."""
    example = next(name for name in CONFIGS if name not in BASE_CONFIGS)
    return f"one of {', '.join(BASE_CONFIGS)}, or an ablation of one such as {example}"
