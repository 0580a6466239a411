"""Deterministic weights for the golden vectors.

The expected outputs in care_s*.npz were computed by the published PyTorch
implementation of CARE Transformer (CVPR 2025) in float32, eval mode, with the
weights that this module generates. The files hold no weights: any program
that follows the rule below gets the very same arrays.

Rule: every entry of the PyTorch state dict is drawn by its own generator,
numpy.random.Generator(PCG64(crc32(salt + name))), according to its kind:
  running_var            uniform [0.5, 1.5)
  running_mean           normal * 0.1
  norm scale (1-d)       1 + normal * 0.1
  gamma (layer scale)    uniform [0.2, 0.7)
  bias                   normal * 0.1
  conv / linear weight   normal / sqrt(fan_in), fan_in = prod(shape[1:])
num_batches_tracked is 0.

Fields of care_s*.npz, arrays channels-last: images_uint8, which enter the network
as (pixel / 255 - mean) / std with ImageNet's mean and std; salt; logits_head,
logits_dist_head and logits, their average; for the stem and each stage NAME_shape,
NAME_mean (over batch, height and width) and NAME_sample, of which
`sample` below gives the rule.
"""

import json
import math
import pathlib
import zlib

import numpy as np

HERE = pathlib.Path(__file__).parent


def state_dict_shapes(arch: str) -> dict[str, list[int]]:
    """Names and shapes (PyTorch layout: OIHW, [out, in]) of one model, e.g. "s0"."""
    return json.loads((HERE / f"care_{arch}.shapes.json").read_text())


def make_state_dict(shapes: dict[str, list[int]], salt: str = "") -> dict[str, np.ndarray]:
    """Float32 arrays, keyed and shaped as the published checkpoints are."""
    norm_scales = {
        name.removesuffix("running_mean") + "weight"
        for name in shapes
        if name.endswith("running_mean")
    } | {name for name in shapes if name.endswith("head.norm.weight")}
    weights = {}
    for name, shape in shapes.items():
        rng = np.random.Generator(np.random.PCG64(zlib.crc32((salt + name).encode())))
        if name.endswith("num_batches_tracked"):
            value = np.zeros((), np.int64)
        elif name.endswith("running_var"):
            value = rng.random(shape) + 0.5
        elif name.endswith("running_mean"):
            value = rng.standard_normal(shape) * 0.1
        elif name in norm_scales:
            value = 1.0 + rng.standard_normal(shape) * 0.1
        elif name.endswith("gamma"):
            value = rng.random(shape) * 0.5 + 0.2
        elif len(shape) == 1:
            value = rng.standard_normal(shape) * 0.1
        else:
            value = rng.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))
        weights[name] = value if value.dtype == np.int64 else value.astype(np.float32)
    return weights


def sample(features: np.ndarray) -> np.ndarray:
    """About four positions per side and 16 channels, evenly strided from the first.

    Args:
        features: Array of shape (batch, height, width, channels).
    """
    strides = (max(1, features.shape[1] // 4), max(1, features.shape[2] // 4))
    return features[:, :: strides[0], :: strides[1], :: features.shape[3] // 16]
