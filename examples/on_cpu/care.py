"""The CARE classifier in PyTorch, whose weights go to and from the Keras model.

Keras steps through CARE-Nano at 300 images a second on two cores with TensorFlow; this takes 430,
and 540 with products of matrices in bfloat16.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from care_keras.models.config import CAREConfig
from examples.on_cpu.layers import DepthwiseConv2d, channels_last, skipped

# Keras's names of weights; a layer scale's gamma is the module itself.
_NAMES = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "bias": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# Of a convolution's kernel.
_TO_TORCH, _TO_KERAS = (3, 2, 0, 1), (2, 3, 1, 0)


def _norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-5, momentum=0.1)


class _Interaction(nn.Module):
    """As the Keras layer of this name; the last block's has no projection and no residual."""

    def __init__(self, channels, ratio, project=True):
        super().__init__()
        hidden = ratio * channels
        self.norm = _norm(channels)
        self.expand = nn.Conv2d(channels, hidden, 1)
        self.depthwise = DepthwiseConv2d(hidden, (3, 3))
        self.projection = nn.Conv2d(hidden, channels, 1) if project else None

    def forward(self, x):
        y = self.depthwise(functional.gelu(self.expand(self.norm(x))))
        return y if self.projection is None else self.projection(y) + x


class _Attention(nn.Module):
    """Linear attention, in float32."""

    def __init__(self, channels, head_dim):
        super().__init__()
        self.query_key = nn.Conv2d(channels, 2 * channels, 1)
        self.head_dim = head_dim

    def forward(self, x):
        batch, channels, height, width = x.shape
        query, key = functional.elu(self.query_key(x).float()).add(1.0).chunk(2, 1)
        with torch.autocast("cpu", enabled=False):
            query, key, value = (self._heads(part) for part in (query, key, x.float()))
            key_value = key.transpose(-1, -2) @ (value / (height * width))
            key_mean = key.mean(2, keepdim=True)
            sums = (query * key_mean).sum(-1, keepdim=True) + 1e-6
            y = (query @ key_value / sums).transpose(1, 2)
        return y.reshape(batch, height, width, channels).permute(0, 3, 1, 2)

    def _heads(self, x):
        batch, channels, height, width = x.shape
        x = x.permute(0, 2, 3, 1)
        x = x.reshape(batch, height * width, channels // self.head_dim, self.head_dim)
        return x.transpose(1, 2)


class _Mixer(nn.Module):
    """A third of the channels by attention or a pair of strips, a third each by 3x3 and 7x7."""

    def __init__(self, channels, head_dim):
        super().__init__()
        self.part = channels // 3
        if head_dim is None:
            self.strip_conv_vertical = DepthwiseConv2d(self.part, (11, 1))
            self.strip_conv_horizontal = DepthwiseConv2d(self.part, (1, 11))
        else:
            self.attention = _Attention(self.part, head_dim)
        self.local_conv_3x3 = DepthwiseConv2d(self.part, (3, 3))
        self.local_conv_7x7 = DepthwiseConv2d(self.part, (7, 7))

    def forward(self, x):
        first, second, third = (channels_last(part) for part in x.split(self.part, 1))
        if hasattr(self, "attention"):
            first = self.attention(first)
        else:
            first = self.strip_conv_vertical(first) + self.strip_conv_horizontal(first)
        return torch.cat([first, self.local_conv_3x3(second), self.local_conv_7x7(third)], 1)


class _Block(nn.Module):
    """One block on `[memory | features]`."""

    def __init__(self, channels, ratios, head_dim, last, skip_rate):
        super().__init__()
        self.memory = channels // 4
        self.skip_rate = skip_rate
        features = channels - self.memory
        self.mixer = _Mixer(features, head_dim)
        self.interaction = nn.ModuleDict(
            {
                "inter1": _Interaction(features, ratios[0]),
                "inter2": _Interaction(channels, ratios[1], project=not last),
            }
        )
        self.layer_scale = None if last else nn.Parameter(torch.ones(channels))

    def forward(self, x):
        memory, features = x[:, : self.memory], x[:, self.memory :]
        features = self.interaction["inter1"](self.mixer(features))
        y = self.interaction["inter2"](channels_last(torch.cat([memory, features.float()], 1)))
        if self.layer_scale is None:
            return y
        y = y.float() * self.layer_scale.view(1, -1, 1, 1)
        return x + skipped(y, self.skip_rate if self.training else 0.0)


class _Head(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.dense = nn.Linear(channels, classes)

    def forward(self, x):
        with torch.autocast("cpu", enabled=False):
            return self.dense(self.norm(x))


class CAREClassifier(nn.Module):
    """`care_keras.models.CAREClassifier` without activation, its parts named as there.

    Args:
        config: The architecture, as published: nothing left out, two heads.
        classes: Number of classes.
        skip_rate: Rate of stochastic depth at the last block; it grows from 0.

    Input: `(batch, 3, height, width)`, prepared as the Keras model's. Output: `(batch,
    classes)`, the heads' mean; in training a pair of such, `head` and `dist_head`.
    """

    def __init__(self, config: CAREConfig, classes: int, skip_rate: float = 0.0):
        super().__init__()
        stem = config.stem_stride
        self.stem_conv = nn.Conv2d(3, config.channels[0], stem, stem)
        self.stem_norm = _norm(config.channels[0])
        self._order = ["stem_conv", "stem_norm"]
        index, count = 0, sum(config.depths)
        for stage, (depth, channels) in enumerate(zip(config.depths, config.channels, strict=True)):
            if stage:
                before = config.channels[stage - 1]
                self._add(f"stage{stage + 1}_downsample_norm", _norm(before))
                self._add(f"stage{stage + 1}_downsample_conv", nn.Conv2d(before, channels, 2, 2))
            for block in range(depth):
                rate = skip_rate * index / max(count - 1, 1)
                index += 1
                ratios, head_dim = config.expansion_ratios[stage], config.head_dims[stage]
                layer = _Block(channels, ratios, head_dim, index == count, rate)
                self._add(f"stage{stage + 1}_block{block + 1}", layer)
        expanded = config.channels[-1] * config.expansion_ratios[-1][1]
        self.classifier = nn.ModuleDict(
            {name: _Head(expanded, classes) for name in ("head", "dist_head")}
        )

    def _add(self, name, layer):
        self.add_module(name, layer)
        self._order.append(name)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """See the class."""
        x = channels_last(x)
        for name in self._order:
            # What goes from layer to layer is float32.
            x = getattr(self, name)(x.float())
        x = functional.gelu(x.float().mean((2, 3)))
        head, dist_head = (self.classifier[name](x) for name in ("head", "dist_head"))
        return (head, dist_head) if self.training else (head + dist_head) / 2.0

    def read_keras(self, weights: dict[str, np.ndarray]) -> None:
        """Takes the weights of a Keras model, by their paths."""
        values = {
            _name(path): torch.from_numpy(_turned(path, w, _TO_TORCH))
            for path, w in weights.items()
        }
        counts = {name for name in self.state_dict() if name.endswith("num_batches_tracked")}
        wanted = self.state_dict().keys() - counts
        if values.keys() != wanted:
            raise ValueError(
                "The weights are of another network. "
                f"Received: {sorted(values.keys() ^ wanted)[:3]} alone in one of both"
            )
        self.load_state_dict(values, strict=False)

    def keras_weights(self, like: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Gives the weights under the paths that `like` has, in Keras's order of axes."""
        values = self.state_dict()
        return {path: _turned(path, values[_name(path)].numpy(), _TO_KERAS) for path in like}


def _name(path):
    *layers, name = path.split("/")
    if layers[-1] == "layer_scale":
        return ".".join(layers)
    return ".".join((*layers, _NAMES[name]))


def _is_depthwise(path):
    layer = path.split("/")[-2]
    return layer == "depthwise" or layer.startswith(("local_conv", "strip_conv"))


def _turned(path, weight, axes):
    """A weight in the other order of axes: `axes` of a convolution that is not depthwise."""
    if weight.ndim == 4:
        weight = weight.transpose((2, 3, 0, 1) if _is_depthwise(path) else axes)
    elif weight.ndim == 2:
        weight = weight.T
    return np.ascontiguousarray(weight)
