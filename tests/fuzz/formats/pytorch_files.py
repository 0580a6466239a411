"""Checkpoints of PyTorch and safetensors, up to what the import would do with them."""

import functools
import io
import json

import numpy as np

from care_keras.weights import load_checkpoint
from tests.fuzz.formats import Format
from tests.fuzz.mutate import archive, binary, json_text

_ARRAYS = {
    "stem.0.weight": np.arange(12, dtype="float32").reshape(1, 3, 2, 2),
    "stem.0.bias": np.array([0.5], "float32"),
    "stages.1.blocks.0.gamma": np.ones(4, "float32"),
}


@functools.cache
def _saved():
    import argparse

    import torch

    tensors = {name: torch.tensor(array) for name, array in _ARRAYS.items()}
    odd = {
        "half": torch.ones(3, dtype=torch.bfloat16),
        "conjugate": torch.ones(3, dtype=torch.complex64).conj(),
        "strided": torch.ones(4, 4).t()[::2],
        "whole": torch.arange(4),
        "scalar": torch.tensor(1.0),
        "empty": torch.zeros(0, 3),
    }
    contents = {
        "plain": tensors,
        "wrapped": {
            "epoch": 3,
            "state_dict": {f"module.{name}": one for name, one in tensors.items()},
            "args": argparse.Namespace(lr=0.1),
        },
        "odd": odd,
    }
    files = {}
    for name, content in contents.items():
        for zipped in (True, False):
            stream = io.BytesIO()
            torch.save(content, stream, _use_new_zipfile_serialization=zipped)
            files[f"{name}{' zip' * zipped}"] = stream.getvalue()
    return files


def _safe():
    from safetensors.numpy import save

    return {"plain": save(_ARRAYS), "metadata": save(_ARRAYS, {"format": "pt"})}


def _mutate(rng, content, others):
    if content.startswith(b"PK"):
        zipped = [other for other in others if other.startswith(b"PK")]
        return archive.mutate(rng, content, zipped, lambda rng, _, x: binary.mutate(rng, x, others))
    return binary.mutate(rng, content, others)


def _mutate_safe(rng, content, others):
    if rng.random() < 0.4:
        return binary.mutate(rng, content, others)
    size = int.from_bytes(content[:8], "little")
    head = json.loads(content[8 : 8 + size])
    head = json_text.mutate_tree(rng, head, [head])
    size = len(head) if rng.random() < 0.9 else rng.choice((0, 1, 2**20, 2**40, 2**64 - 1))
    return size.to_bytes(8, "little") + head + content[8 + len(head) :]


def _read(path):
    for name, array in load_checkpoint(path).items():
        assert isinstance(name, str) and isinstance(array, np.ndarray), (name, array)


FORMATS = {
    "pytorch": Format(".pth", _saved, _mutate, _read),
    "safetensors": Format(".safetensors", _safe, _mutate_safe, _read),
}
